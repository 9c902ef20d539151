"""Segment scans with the pipeline of configs/inference.json, from Python: the one definition of what is done."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from monai.data import MetaTensor
from monai.transforms import Compose, Invertd
from torch import nn

from bundle.assess import ASSESSMENT_KEY
from bundle.clicks import RefineWithClicksd
from bundle.errors import bad_input, input_error
from bundle.read import case_name
from bundle.read.dicom_source import META_KEY
from bundle.segmentation.configuration import (
    BUNDLE_ROOT,
    DEFAULT_SYSTEM,
    check_weights,
    read_configuration,
    weight_files,
)
from bundle.segmentation.result_key import remove_results, result_files, result_key
from bundle.segmentation.study import Study, one_study, with_clicks
from bundle.write import SaveMaskd, SaveMontaged, case_report, report, write_report
from bundle.write.html.report_page import SaveHtmld
from bundle.write.probabilities import SaveProbabilitiesd

READ, LOCALIZE, SEGMENT, WRITE = STAGES = ("read", "localize", "segment", "write")

_PROBABILITIES = "probabilities"
_PAGES = (SaveMontaged, SaveHtmld)


@dataclass(frozen=True)
class Result:
    """What became of one scan.

    Attributes:
        case: its name.
        outcome: ``ok``, or what is wrong (``not_found`` and others), with the ``reason`` in words.
        volume_ml: of the mask.
        mask: (1, X, Y, Z) uint8 on the scan's own grid, with affine; all zero if nothing was found.
        seconds: from file to result, writing included.
        report: what report.json holds.
        folder: where the files are, None if none were asked for.
        probabilities: (1, X, Y, Z) of pancreas, float32 on the scan's own grid, 0 outside the regions looked at; None
            if they were not asked for. Small components, which the mask lost, are still in them.
    """

    case: str
    outcome: str
    reason: str
    volume_ml: float
    mask: MetaTensor
    seconds: float
    report: dict[str, Any]
    folder: Path | None
    probabilities: MetaTensor | None = None

    @property
    def reasons(self) -> list[str]:
        """Why the outcome is what it is, and what else one should know of the scan, in words."""
        findings = [found for found in self.report.get("findings", []) if found.get("severity") != "note"]
        texts = [*self.report.get("reasons", [self.reason]), *(str(found.get("text", "")) for found in findings)]
        return list(dict.fromkeys(text for text in texts if text))

    @property
    def measurements(self) -> dict[str, float | None]:
        """Numbers of the mask by name, which ends in the unit; empty if the pipeline doesn't measure."""
        return dict(self.report.get("measurements", {}))


def segment(
    path: str | os.PathLike[str],
    output_dir: str | os.PathLike[str] | None = None,
    device: str = "auto",
    system: str = DEFAULT_SYSTEM,
    probabilities: bool = False,
    anonymize: bool = False,
    foreground: Sequence[Sequence[float]] = (),
    background: Sequence[Sequence[float]] = (),
    **settings: Any,
) -> Result:
    """Segment one scan; for many, keep a :class:`Segmenter`, which loads the networks once.

    Args:
        path: NIfTI file, folder of a DICOM series, or whatever else holds exactly one scan, such as a zip file.
        output_dir: write the results to ``<output_dir>/<case>``, in place of older ones; None writes nothing.
        device: ``auto``, ``cpu`` or ``cuda``.
        system: ``default``, or the name of one of the published systems, whose weights are of docs/comparison.md.
        probabilities: give them, and write them if results are written.
        anonymize: no names, IDs and dates of the patient in what is written; the case is called ``case_001``.
        foreground: voxels (x, y, z) that the mask should have, counted from 0 as in ``mask[0]``; see docs/clicks.md.
        background: voxels that it should not have.
        **settings: keys of configs/inference.json to replace, such as ``checkpoint`` or ``amp``.

    Raises:
        InputError: the scan, the device, the system or the weights cannot be used.
    """
    with ExitStack() as archives:
        study = one_study(Path(path), archives, anonymize)
        segmenter = Segmenter(
            output_dir, device, system=system, probabilities=probabilities, anonymize=anonymize, **settings
        )
        return segmenter.run(with_clicks(study, foreground, background))


class Segmenter:
    """The pipeline of configs/inference.json: preprocessing, cascade, postprocessing, writing.

    Args:
        output_dir: parent of the case folders; None writes nothing.
        device: ``auto``, ``cpu`` or ``cuda``.
        config: another configuration file, or several, the later ones as overlays.
        system: which of the configured systems, an overlay on the configuration.
        probabilities: give them, and write them if results are written.
        pages: also write what is for looking at, the picture and the page.
        anonymize: no names, IDs and dates of the patient in what is written. The names of files and folders are kept
            out by the study (:func:`~bundle.segmentation.study.anonymous`).
        **settings: keys of the configuration to replace.
    """

    def __init__(
        self,
        output_dir: str | os.PathLike[str] | None = None,
        device: str = "auto",
        config: str | os.PathLike[str] | Sequence[str | os.PathLike[str]] | None = None,
        system: str = DEFAULT_SYSTEM,
        probabilities: bool = False,
        pages: bool = True,
        anonymize: bool = False,
        **settings: Any,
    ) -> None:
        self.output_dir = None if output_dir is None else Path(output_dir)
        self.probabilities = probabilities
        self.pages = pages
        self.parser = read_configuration(system, config)
        self._replace({"bundle_root": str(BUNDLE_ROOT), "device": choose_device(device), **settings})
        self.parser["anonymize"] = anonymize
        if self.output_dir is not None:
            self._replace({"output_dir": str(self.output_dir)})
        self._settings = {**self.parser.get(), _PROBABILITIES: probabilities, "pages": pages}
        self.weights = weight_files(self.parser)
        check_weights(self.parser)
        self.preprocessing = self.parser.get_parsed_content("preprocessing")
        self.inferer = self.parser.get_parsed_content("inferer")
        self.network = self.parser.get_parsed_content("network").eval()
        self.postprocessing = self._postprocessing()

    def __call__(
        self,
        path: str | os.PathLike[str],
        case: str | None = None,
        foreground: Sequence[Sequence[float]] = (),
        background: Sequence[Sequence[float]] = (),
    ) -> Result:
        """Return what became of the scan at ``path``; ``case`` names its folder, by default after the file.

        ``foreground`` and ``background`` are clicks, as for :func:`segment`.
        """
        return self.run(with_clicks(Study(case or case_name(path), str(path)), foreground, background))

    def run(self, study: Study, on_stage: Callable[[str], None] | None = None) -> Result:
        """Return what became of a study, whose older results are replaced.

        Args:
            study: scan and case name.
            on_stage: told the name of every stage (of :data:`STAGES`) as it begins.

        Raises:
            InputError: the scan cannot be used. Files written up to then stay.
        """
        started = time.perf_counter()
        self._check_clicks(study)
        folder = None if self.output_dir is None else self.output_dir / study.case
        if folder is not None:
            if Path(study.image).absolute() in (path.absolute() for path in result_files(folder)):
                remedy = "Give another output folder, or rename the file."
                raise bad_input(study.image, "a scan does not lie where its results go", "the name of a result", remedy)
            remove_results(folder)
        try:
            data = self._run(study, on_stage or _ignore)
        except Exception as error:
            bad = input_error(error)
            if bad is None:
                raise
            raise bad from error
        content = data.get("report") or self._report(data)
        if folder is not None:
            content = self._finish(study, folder, content, data.get("not_written", {}))
        return Result(
            case=study.case,
            outcome=content["outcome"],
            reason=content["reason"],
            volume_ml=content["volume_ml"],
            mask=data["pred"],
            seconds=time.perf_counter() - started,
            report=content,
            folder=folder,
            probabilities=data.get(_PROBABILITIES),
        )

    def key(self, study: Study) -> str:
        """Return what the study's report holds as ``key`` when all its files are written.

        Raises:
            OSError: a file of the scan cannot be read.
        """
        settings = self._settings | ({"clicks": dict(study.clicks)} if study.clicks else {})
        return result_key(study.files, self.weights, settings)

    def _run(self, study: Study, on_stage: Callable[[str], None]) -> dict[Any, Any]:
        data: dict[Any, Any] = {"image": study.image, "case": study.case, **study.clicks}
        if study.series_uid is not None:
            data["series_uid"] = study.series_uid
        on_stage(READ)
        data = self.preprocessing(data)
        _rename_in(data["image"].meta, study)
        networks = {LOCALIZE: getattr(self.inferer, "localizer", None), SEGMENT: self.network}
        with _announced(networks, on_stage):
            data["pred"] = self.inferer(data["image"][None], self.network)[0]
        if self.probabilities:
            data[_PROBABILITIES] = data["pred"]
        on_stage(WRITE)
        return self.postprocessing(data)

    def _check_clicks(self, study: Study) -> None:
        """Raise if clicks would be left unheard."""
        steps = self.postprocessing.flatten().transforms
        if study.clicks and not any(isinstance(step, RefineWithClicksd) for step in steps):
            remedy = "Add the steps of docs/clicks.md, or give no clicks."
            raise bad_input("configuration", "a step obeys the clicks", "no RefineWithClicksd", remedy)

    def _finish(
        self, study: Study, folder: Path, content: dict[str, Any], not_written: dict[str, str]
    ) -> dict[str, Any]:
        """Write the report once more, as the last of all files, with the key that says that they are complete."""
        names = sorted({path.name for path in result_files(folder)} | {report.FILE_NAME})
        content = {**content, "files": names, "key": self.key(study)}
        if not_written:
            content["not_written"] = {name: study.public(reason) for name, reason in not_written.items()}
        write_report(content, folder / report.FILE_NAME)
        return content

    def _replace(self, settings: dict[str, Any]) -> None:
        for key, value in settings.items():
            if key not in self.parser:
                raise bad_input(key, "a setting is a key of the configuration", "another", "Correct the name.")
            self.parser[key] = value

    def _postprocessing(self) -> Compose:
        """Return the configured steps; the writers among them, and those under ``saving``, only with output_dir."""
        steps = list(self.parser.get_parsed_content("postprocessing").flatten().transforms)
        if "saving" in self.parser:
            steps += self.parser.get_parsed_content("saving").flatten().transforms
        if self.output_dir is None:
            steps = [step for step in steps if not hasattr(step, "output_dir")]
        elif not any(isinstance(step, SaveMaskd) for step in steps):
            raise bad_input("configuration", "a step writes the mask", "no SaveMaskd", "Add it to 'saving'.")
        if not self.pages:
            steps = [step for step in steps if not isinstance(step, _PAGES)]
        return Compose([*self._probability_steps(), *steps])

    def _probability_steps(self) -> list[Any]:
        """Return what brings the probabilities onto the scan's own grid, as the mask will be, and writes them."""
        if not self.probabilities:
            return []
        back = Invertd(_PROBABILITIES, self.preprocessing, orig_keys="image", nearest_interp=False, to_tensor=True)
        return [back] if self.output_dir is None else [back, SaveProbabilitiesd(_PROBABILITIES, self.output_dir)]

    def _report(self, data: dict[Any, Any]) -> dict[str, Any]:
        system = str(self.parser.get("system", ""))
        return case_report(
            data["case"], data["pred"], data["image"], system, self.weights, data.get(ASSESSMENT_KEY)
        )


def choose_device(name: str) -> torch.device:
    """Return the device for ``auto`` (CUDA if there is one), ``cpu``, ``cuda`` or ``cuda:N``."""
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise bad_input("device", "the device is auto, cpu or cuda", repr(name), "Correct the name.") from error
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        received = f"{torch.cuda.device_count()} CUDA devices"
        raise bad_input("device", f"{name} is there", received, "Take --device cpu, or a torch build with CUDA.")
    return device


@contextmanager
def _announced(networks: dict[str, nn.Module | None], on_stage: Callable[[str], None]) -> Iterator[None]:
    """Tell the name of a network whenever it is called within the block."""

    def before(name: str) -> Callable[..., None]:
        def announce(*_: Any) -> None:
            on_stage(name)

        return announce

    handles = [net.register_forward_pre_hook(before(name)) for name, net in networks.items() if net is not None]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def _rename_in(meta: dict[str, Any], study: Study) -> None:
    """Rename what goes from the scan's meta data into results; the names of source files are needed as they are."""
    for key, value in meta.items():
        if isinstance(value, str) and key != META_KEY:
            meta[key] = study.public(value)


def _ignore(stage: str) -> None:
    pass
