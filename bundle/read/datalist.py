"""The cases of a Medical Decathlon data set, and how a case is named."""

from __future__ import annotations

import json
import logging
import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from bundle.errors import InputError, bad_input

_LOGGER = logging.getLogger(__name__)

DATASET_FILE = "dataset.json"
SECTIONS = ("training", "validation", "test")

_NAMES_SHOWN = 5

_NAME_BYTES = 150  # of the 255 that file systems take: numbers and temporary names are added
_NOT_IN_NAMES = re.compile(r'[\x00-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff<>:"/\\|?*]')


def load_datalist(
    dataset_dir: str | os.PathLike[str], section: str, validation_share: float = 0.2, seed: int = 0
) -> list[dict[str, str]]:
    """Return the labelled cases of one section of dataset.json as ``image``, ``label`` (absolute paths), ``patient``.

    Where dataset.json has no ``validation``, the training cases are split by patient; asked for both sections with
    the same share and seed, the two parts are disjoint and complete. A case without ``patient`` is its own patient.

    Args:
        dataset_dir: folder with dataset.json, or dataset.json itself.
        section: ``training``, ``validation`` or ``test``.
        validation_share: share of the patients that validate where dataset.json does not say who does.
        seed: of that split.

    Raises:
        InputError: no or unreadable dataset.json, a section that is unknown or empty, cases without label, and all
            wrong paths together.
    """
    if section not in SECTIONS:
        raise bad_input("section", f"a section is one of {', '.join(SECTIONS)}", repr(section), "Correct the name.")
    source, content = _load_dataset_file(Path(dataset_dir))
    if section == "validation" and content.get("validation"):
        _warn_of_shared_patients(source, content)
    if section == "test" or content.get("validation"):
        return _entries(source, content, section)
    training, validation = split_by_patient(_entries(source, content, "training"), validation_share, seed)
    return training if section == "training" else validation


def split_by_patient(
    datalist: Sequence[Mapping[str, Any]], validation_share: float, seed: int
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Return (training, validation): each patient's cases all on one side, at least one patient on either.

    Args:
        datalist: cases with ``patient``.
        validation_share: share of the patients, above 0 and below 1.
        seed: same seed, same split, whatever the order of the cases.
    """
    if not 0 < validation_share < 1:
        raise bad_input("validation_share", "a share lies between 0 and 1", validation_share, "Take 0.2.")
    patients = sorted({str(entry["patient"]) for entry in datalist})
    if len(patients) < 2:
        raise bad_input(
            "datalist",
            "a split into training and validation needs two patients",
            f"{len(patients)} patient",
            "Add cases, or name the validation cases in dataset.json.",
        )
    order = torch.randperm(len(patients), generator=torch.Generator().manual_seed(seed)).tolist()
    count = min(max(round(validation_share * len(patients)), 1), len(patients) - 1)
    held_out = {patients[index] for index in order[:count]}
    training = [dict(entry) for entry in datalist if str(entry["patient"]) not in held_out]
    validation = [dict(entry) for entry in datalist if str(entry["patient"]) in held_out]
    return training, validation


def listed_images(dataset_dir: Path) -> tuple[Path, list[Path]]:
    """Return dataset.json's path and the images to segment: those of its test list, else all of them.

    Raises:
        InputError: dataset.json is unreadable, lists no image, or lists files that do not exist.
    """
    source, content = _load_dataset_file(dataset_dir)
    for sections in (("test",), ("training", "validation")):
        images = [e["image"] for s in sections if content.get(s) for e in _entries(source, content, s, False)]
        if images:
            return source, [Path(image) for image in images]
    raise bad_input(source, "dataset.json lists images", "none", "Fill its test list.")


def case_name(path: str | os.PathLike[str]) -> str:
    """Return the name of a scan's case: the file name without .nii.gz or .dcm, or the DICOM folder's name."""
    name = Path(path).name
    for suffix in (".nii.gz", ".nii", ".dcm"):
        if name.lower().endswith(suffix):
            return folder_name(name[: -len(suffix)])
    return folder_name(name)


def folder_name(text: str) -> str:
    """Return ``text`` as the name of a folder that every system takes: at most 150 bytes, never hidden, no path."""
    name = _NOT_IN_NAMES.sub("_", text).encode()[:_NAME_BYTES].decode(errors="ignore").strip(" .")
    return name or "scan"


def _load_dataset_file(dataset_dir: Path) -> tuple[Path, dict[str, Any]]:
    source = (dataset_dir if dataset_dir.name == DATASET_FILE else dataset_dir / DATASET_FILE).absolute()
    if not source.is_file():
        raise bad_input(
            source,
            "a data set is a folder with dataset.json",
            "no such file",
            "Set dataset_dir to a Medical Decathlon folder; `python -m bundle render` makes one.",
        )
    try:
        content = json.loads(source.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise bad_input(source, "dataset.json is a JSON file", error, "Correct the file.") from error
    if not isinstance(content, dict):
        raise bad_input(source, "dataset.json is a JSON object", type(content).__name__, "Correct the file.")
    return source, content


def _entries(source: Path, content: dict[str, Any], section: str, labelled: bool = True) -> list[dict[str, str]]:
    listed = content.get(section)
    if not isinstance(listed, list) or not listed:
        received = "no entry" if listed is None or listed == [] else repr(type(listed).__name__)
        raise bad_input(source, f"{section} is a list of cases", received, f"Fill {section}, or take another section.")
    entries = [_entry(source, section, item, labelled) for item in listed]
    missing = [
        path for entry in entries for key in ("image", "label") if (path := entry.get(key)) if not os.path.exists(path)
    ]
    if missing:
        raise bad_input(
            source,
            "every listed file exists",
            f"{len(missing)} missing in {section}: {_some(missing)}",
            "Correct the paths, which are relative to dataset.json, or copy the files there.",
        )
    return entries


def _warn_of_shared_patients(source: Path, content: dict[str, Any]) -> None:
    if shared := sorted(_patients(source, content, "training") & _patients(source, content, "validation")):
        _LOGGER.warning(
            "%s: in training and in validation are the patients %s; scores of the validation say little about others",
            source,
            _some(shared),
        )


def _patients(source: Path, content: dict[str, Any], section: str) -> set[str]:
    listed = content.get(section)
    return {_entry(source, section, item, False)["patient"] for item in listed} if isinstance(listed, list) else set()


def _entry(source: Path, section: str, item: Any, labelled: bool) -> dict[str, str]:
    fields = {"image": item} if isinstance(item, str) else item
    if not isinstance(fields, dict) or not isinstance(fields.get("image"), str):
        raise bad_input(source, f"a case in {section} is a path or an object with image", repr(item), "Correct it.")
    entry = {"image": str(_absolute(source, fields["image"]))}
    if labelled:
        if not isinstance(fields.get("label"), str):
            raise bad_input(source, f"a case in {section} has a label", repr(item), "Add the path of its label map.")
        entry["label"] = str(_absolute(source, fields["label"]))
    entry["patient"] = str(fields.get("patient") or case_name(entry["image"]))
    return entry


def _absolute(source: Path, path: str) -> Path:
    return Path(os.path.normpath(source.parent / path))


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:_NAMES_SHOWN]) + (" and more" if len(names) > _NAMES_SHOWN else "")


def read_label_names(dataset_dir: str | os.PathLike[str]) -> tuple[Path, dict[int, str]]:
    """Return dataset.json's path and its ``labels`` as value to name, from either of the two customary directions."""
    source, content = _load_dataset_file(Path(dataset_dir))
    labels = content.get("labels")
    try:
        if not isinstance(labels, dict) or not labels:
            raise ValueError("no labels" if not labels else f"a {type(labels).__name__}")
        if all(str(key).lstrip("-").isdigit() for key in labels):
            return source, {int(value): str(name) for value, name in labels.items()}
        return source, {int(value): str(name) for name, value in labels.items()}
    except (TypeError, ValueError) as error:
        problem: InputError = bad_input(
            source, "labels says what each label value is", error, 'Write {"0": "background", "1": "pancreas"}.'
        )
        raise problem from error
