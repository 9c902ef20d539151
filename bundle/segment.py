"""Segment scans with the pipeline of configs/inference.json, from Python: the one definition of what is done."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from monai.bundle import ConfigParser
from monai.data import MetaTensor
from monai.transforms import Compose

from bundle.errors import bad_input, input_error
from bundle.read import case_name
from bundle.write import SaveMaskd, SaveMontaged, SaveReportd, case_report

BUNDLE_ROOT = Path(__file__).parents[1]
CONFIG = BUNDLE_ROOT / "configs" / "inference.json"

_WRITERS = (SaveMaskd, SaveMontaged, SaveReportd)


@dataclass(frozen=True)
class Result:
    """What became of one scan.

    Attributes:
        case: its name.
        outcome: ``ok`` or ``not_found``, with the ``reason`` in words.
        volume_ml: of the mask.
        mask: (1, X, Y, Z) uint8 on the scan's own grid, with affine; all zero if nothing was found.
        seconds: from file to result, writing included.
        report: what report.json holds.
        folder: where the files are, None if none were asked for.
    """

    case: str
    outcome: str
    reason: str
    volume_ml: float
    mask: MetaTensor
    seconds: float
    report: dict[str, Any]
    folder: Path | None


def segment(
    path: str | os.PathLike[str],
    output_dir: str | os.PathLike[str] | None = None,
    device: str = "auto",
    **settings: Any,
) -> Result:
    """Segment one scan; for many, keep a :class:`Segmenter`, which loads the networks once.

    Args:
        path: NIfTI file or folder of a DICOM series.
        output_dir: write mask, picture and report to ``<output_dir>/<case>``; None writes nothing.
        device: ``auto``, ``cpu`` or ``cuda``.
        **settings: keys of configs/inference.json to replace, such as ``checkpoint`` or ``amp``.

    Raises:
        InputError: the scan, the device or the weights cannot be used.
    """
    return Segmenter(output_dir, device, **settings)(path)


class Segmenter:
    """The pipeline of configs/inference.json: preprocessing, cascade, postprocessing, writing.

    Args:
        output_dir: parent of the case folders; None writes nothing.
        device: ``auto``, ``cpu`` or ``cuda``.
        config: another configuration file, or several, the later ones as overlays.
        **settings: keys of the configuration to replace.
    """

    def __init__(
        self,
        output_dir: str | os.PathLike[str] | None = None,
        device: str = "auto",
        config: str | os.PathLike[str] | Sequence[str | os.PathLike[str]] | None = None,
        **settings: Any,
    ) -> None:
        self.output_dir = None if output_dir is None else Path(output_dir)
        self.parser = _parse(config or CONFIG)
        self._replace({"bundle_root": str(BUNDLE_ROOT), "device": choose_device(device), **settings})
        if self.output_dir is not None:
            self._replace({"output_dir": str(self.output_dir)})
        self.preprocessing = self.parser.get_parsed_content("preprocessing")
        self.inferer = self.parser.get_parsed_content("inferer")
        self.network = self.parser.get_parsed_content("network").eval()
        self.postprocessing = self._postprocessing()

    def __call__(self, path: str | os.PathLike[str], case: str | None = None) -> Result:
        """Return what became of the scan at ``path``; ``case`` names its folder, by default after the file."""
        started = time.perf_counter()
        data: dict[Any, Any] = {"image": str(path), "case": case or case_name(path)}
        try:
            data = self.preprocessing(data)
            data["pred"] = self.inferer(data["image"][None], self.network)[0]
            data = self.postprocessing(data)
        except Exception as error:
            bad = input_error(error)
            if bad is None:
                raise
            raise bad from error
        report = data.get("report") or self._report(data)
        return Result(
            case=data["case"],
            outcome=report["outcome"],
            reason=report["reason"],
            volume_ml=report["volume_ml"],
            mask=data["pred"],
            seconds=time.perf_counter() - started,
            report=report,
            folder=None if self.output_dir is None else self.output_dir / data["case"],
        )

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
            return Compose([step for step in steps if not isinstance(step, _WRITERS)])
        if not any(isinstance(step, SaveMaskd) for step in steps):
            raise bad_input("configuration", "a step writes the mask", "no SaveMaskd", "Add it to 'saving'.")
        return Compose(steps)

    def _report(self, data: dict[Any, Any]) -> dict[str, Any]:
        keys = [str(key) for key in self.parser.get()]
        names = [key for key in keys if key == "checkpoint" or key.endswith("_checkpoint")]
        weights = [path for key in names if (path := self.parser.get_parsed_content(key))]
        system = str(self.parser.get("system", ""))
        return case_report(data["case"], data["pred"], data["image"], system, weights)


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


def _parse(config: str | os.PathLike[str] | Sequence[str | os.PathLike[str]]) -> ConfigParser:
    files = [config] if isinstance(config, (str, os.PathLike)) else list(config)
    for file in files:
        if not Path(file).is_file():
            raise bad_input(file, "the configuration exists", "no such file", "Run from a clone of the bundle.")
    parser = ConfigParser()
    parser.read_config([str(file) for file in files])
    return parser
