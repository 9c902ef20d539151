"""Rendered scans written as a Medical Decathlon data set, and as DICOM series."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import as_completed
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

from bundle.errors import bad_input
from bundle.files import make_folder, write_nifti, write_text
from bundle.rendering.anatomy import read_anatomy
from bundle.rendering.dicom_series import write_dicom_series
from bundle.rendering.draws import chance, integer
from bundle.rendering.renderer import render_scan, scan_seed
from bundle.rendering.scanner import ScannerSettings
from bundle.rendering.tissues import CLASSES
from bundle.rendering.workers import worker_pool

FOLDERS = {
    "training": ("imagesTr", "labelsTr"),
    "validation": ("imagesTr", "labelsTr"),
    "test": ("imagesTs", "labelsTs"),
}
"""Folders of images and of labels, by section of dataset.json."""


@dataclass(frozen=True)
class ScanOrder:
    """One scan to render: all that it depends on.

    Args:
        name: of its files.
        section: "training", "validation" or "test".
        seed: of everything random in it.
        anatomy: file to read, None for a procedural body.
        settings: the scanner's.
        dicom: also write a DICOM series.
        gland: map of another patient's pancreas, to be transplanted into the body.
        deformation: strength of the random deformation, 1 being the usual one.
    """

    name: str
    section: str
    seed: int
    anatomy: Path | None
    settings: ScannerSettings
    dicom: bool
    gland: Path | None = None
    deformation: float = 1.0

    def request(self) -> dict[str, Any]:
        """What the scan depends on, as plain values; equal requests give equal scans."""
        request: dict[str, Any] = {"seed": self.seed, "anatomy": _name(self.anatomy), "settings": asdict(self.settings)}
        if self.gland:
            request["gland"] = _name(self.gland)
        if self.deformation != 1:
            request["deformation"] = self.deformation
        return json.loads(json.dumps(request))


def write_dataset(
    output: str | Path,
    orders: Sequence[ScanOrder],
    workers: int = 1,
    on_scan: Callable[[dict[str, Any]], None] | None = None,
) -> Path:
    """Render what is missing and enter every scan into ``output/dataset.json``, which is made or extended.

    A scan whose files exist and whose facts name the same request is not rendered again. Files get their names when
    complete. The result does not depend on ``workers``. Scans finished before an interruption are entered, too.

    Args:
        output: folder; images, labels, facts and DICOM series go to folders in it.
        orders: from :func:`plan_scans`.
        workers: processes.
        on_scan: called with the facts of each scan as it is ready.

    Returns:
        The path of dataset.json.

    Raises:
        InputError: ``output`` cannot be made, or holds a dataset.json that cannot be extended.
    """
    output = make_folder(output)
    for name in {folder for pair in FOLDERS.values() for folder in pair} | {"facts"}:
        make_folder(output / name)
    _read_list(output)  # an unreadable one must not cost an hour of rendering
    entries: dict[str, dict[str, str]] = {}
    try:
        for order, facts in _render_all(output, orders, workers):
            entries[order.name] = _entry(order, facts)
            if on_scan:
                on_scan(facts)
    finally:
        _enter(output, [(o.section, entries[o.name]) for o in orders if o.name in entries])
    return output / "dataset.json"


def plan_scans(
    count: int,
    seed: int,
    section: str = "training",
    anatomies: Sequence[Path] = (),
    procedural_share: float = 0.3,
    settings: ScannerSettings | None = None,
    dicom: bool = False,
    glands: Sequence[Path] = (),
    gland_share: float = 0.7,
    deformation: float = 1.0,
) -> list[ScanOrder]:
    """Decide for each scan its anatomy and its seed; the first scans are the same whatever ``count`` is.

    Args:
        anatomies: files to draw from, in turn; procedural bodies only if there are none.
        procedural_share: share of procedural bodies among the scans otherwise.
        glands: maps of pancreases to draw from and transplant into ``gland_share`` of the bodies.
        deformation: strength of the random deformation.

    Raises:
        InputError: unknown section, count below 1, share outside 0-1.
    """
    if section not in FOLDERS:
        raise bad_input("section", f"a section is one of {', '.join(FOLDERS)}", section, "Choose one of them.")
    if count < 1:
        raise bad_input("count", "at least one scan is rendered", count, "Give a positive number.")
    for name, share in (("procedural share", procedural_share), ("gland share", gland_share)):
        if not 0 <= share <= 1:
            raise bad_input(name, "a share lies between 0 and 1", share, "Correct it.")
    generator = torch.Generator().manual_seed(seed)
    settings = settings or ScannerSettings()
    orders: list[ScanOrder] = []
    used = 0
    transplants = torch.Generator().manual_seed(seed)  # of its own: the rest is the same with and without glands
    for index in range(count):
        anatomy = None
        if not chance(generator, procedural_share) and anatomies:
            anatomy = anatomies[used % len(anatomies)]
            used += 1
        gland = glands[integer(transplants, len(glands))] if glands and chance(transplants, gland_share) else None
        name = f"{section}_{seed}_{index:04d}"
        orders.append(ScanOrder(name, section, scan_seed(seed, index), anatomy, settings, dicom, gland, deformation))
    return orders


def _render_all(
    output: Path, orders: Sequence[ScanOrder], workers: int
) -> Iterator[tuple[ScanOrder, dict[str, Any]]]:
    """Yield the orders as they are ready, with their facts."""
    missing = []
    for order in orders:
        facts = _known_facts(output, order)
        if facts is None:
            missing.append(order)
        else:
            yield order, facts
    if workers <= 1 or len(missing) < 2:
        for order in missing:
            yield order, _render_to_files(output, order)
        return
    with worker_pool(min(workers, len(missing))) as pool:
        tasks = {pool.submit(_render_to_files, output, order): order for order in missing}
        try:
            for task in as_completed(tasks):
                yield tasks[task], task.result()
        finally:
            for task in tasks:
                task.cancel()


def _render_to_files(output: Path, order: ScanOrder) -> dict[str, Any]:
    """Render one scan and write its files, its facts last."""
    _facts_path(output, order).unlink(missing_ok=True)  # they must not vouch for half of a new scan
    anatomy = read_anatomy(order.anatomy) if order.anatomy else None
    gland = read_anatomy(order.gland) if order.gland else None
    with _one_thread():
        scan = render_scan(anatomy, order.seed, order.settings, gland=gland, deformation=order.deformation)
    images, labels = FOLDERS[order.section]
    write_nifti(scan.image_hu, scan.affine, output / images / f"{order.name}.nii.gz")
    write_nifti(scan.label, scan.affine, output / labels / f"{order.name}.nii.gz")
    if order.dicom:
        write_dicom_series(scan, output / "dicom" / order.name, order.name)
    facts = {"name": order.name, **scan.facts, "request": order.request()}
    _save_json(facts, _facts_path(output, order))
    return facts


@contextmanager
def _one_thread() -> Iterator[None]:
    """Sums must not depend on how many threads share them, nor workers compete for cores."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def _known_facts(output: Path, order: ScanOrder) -> dict[str, Any] | None:
    """Facts of an earlier run, None if the scan has to be rendered."""
    images, labels = FOLDERS[order.section]
    needed = [output / folder / f"{order.name}.nii.gz" for folder in (images, labels)]
    needed += [output / "dicom" / order.name] if order.dicom else []
    try:
        facts = json.loads(_facts_path(output, order).read_text())
    except (OSError, json.JSONDecodeError):
        return None
    return facts if facts.get("request") == order.request() and all(p.exists() for p in needed) else None


def _facts_path(output: Path, order: ScanOrder) -> Path:
    return output / "facts" / f"{order.name}.json"


def _name(path: Path | None) -> str | None:
    return path.name if path else None


def _entry(order: ScanOrder, facts: dict[str, Any]) -> dict[str, str]:
    images, labels = FOLDERS[order.section]
    file = f"{order.name}.nii.gz"
    return {"image": f"./{images}/{file}", "label": f"./{labels}/{file}", "patient": facts["patient"]}


def _enter(output: Path, entries: Sequence[tuple[str, dict[str, str]]]) -> None:
    """Add entries to dataset.json; an entry of the same image is replaced."""
    content = _read_list(output)
    for section, entry in entries:
        others = [e for e in content[section] if e["image"] != entry["image"]]
        content[section] = sorted([*others, entry], key=_image_of)
    content["numTraining"], content["numTest"] = len(content["training"]), len(content["test"])
    _save_json(content, output / "dataset.json")


def _image_of(entry: dict[str, str]) -> str:
    return entry["image"]


def _read_list(output: Path) -> dict[str, Any]:
    path = output / "dataset.json"
    if not path.exists():
        return {
            "name": "Rendered abdominal CT",
            "description": "CT rendered from anatomical label maps and procedural bodies; no patient's scan",
            "reference": "docs/rendered_ct.md",
            "licence": "as the anatomies it was rendered from",
            "tensorImageSize": "3D",
            "modality": {"0": "CT"},
            "labels": {str(value): name for value, name in enumerate(CLASSES)},
            "numTraining": 0,
            "numTest": 0,
            **{section: [] for section in FOLDERS},
        }
    try:
        content = json.loads(path.read_text())
        if any(not isinstance(content.setdefault(section, []), list) for section in FOLDERS):
            raise ValueError("a section is no list")
        if any("image" not in entry for section in FOLDERS for entry in content[section]):
            raise ValueError("an entry names no image")
    except (ValueError, TypeError, AttributeError) as error:
        remedy = "Remove it or choose another output folder."
        raise bad_input(path, "an existing dataset.json can be extended", str(error), remedy) from error
    return content


def _save_json(content: dict[str, Any], path: Path) -> None:
    write_text(json.dumps(content, indent=1) + "\n", path)
