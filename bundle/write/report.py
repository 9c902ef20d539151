"""report.json: what was found in one scan, how long it took, and with what."""

from __future__ import annotations

import hashlib
import json
import math
import os
import platform
from collections.abc import Hashable, Mapping, Sequence
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np
import torch
from monai.config import KeysCollection
from monai.data import MetaTensor

import bundle
from bundle.assess import ASSESSMENT_KEY
from bundle.files import write_text
from bundle.memory import peak_memory_mb
from bundle.write.case import case_of, volume_ml
from bundle.write.invert import REPORT_KEY
from bundle.write.saver import IMAGE_KEY, Saver

FILE_NAME = "report.json"

OK, NOT_FOUND, INVALID_INPUT, FAILED = "ok", "not_found", "invalid_input", "failed"


def case_report(
    case: str,
    mask: MetaTensor,
    image: MetaTensor,
    system: str = "",
    weights: Sequence[str | os.PathLike[str] | None] = (),
    assessment: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Return the report of a segmented scan as what JSON can hold.

    ``mask.meta["cascade"]`` (a :class:`~bundle.cascade.CascadeReport`, or it as dictionary or JSON text) gives outcome,
    reason, boxes and seconds by stage; without it a mask with voxels is ``ok``. An empty mask is never ``ok``.

    Args:
        case: its name.
        mask: (1, X, Y, Z) on the scan's own grid; its shape and spacing are the scan's.
        image: the scan as it was read, for the file name and the reading time.
        system: which of the configured systems made the mask.
        weights: files of the weights, told apart by their SHA-256; None and those that do not exist are left out.
        assessment: what :func:`bundle.assess.assess` said; its outcome counts, and the rest joins the report.
    """
    cascade = _cascade_of(mask)
    millilitres = volume_ml(mask)
    outcome, reason = cascade.get("outcome", OK), cascade.get("reason", "")
    if not millilitres and outcome == OK:
        outcome, reason = NOT_FOUND, reason or "the mask is empty"
    said = dict(assessment or {"outcome": outcome, "reasons": [reason] if reason else []})
    seconds = {"read": float(image.meta.get("seconds_read", 0.0)), **cascade.get("seconds", {})}
    seconds.update(mask.meta.get("seconds", {}))
    return _plain(
        {
            "case": case,
            "outcome": said.pop("outcome"),
            "reason": "; ".join(said["reasons"]),
            **said,
            "volume_ml": round(millilitres, 3),
            "input_file": image.meta.get("filename_or_obj", ""),
            "shape": list(mask.shape[-3:]),
            "spacing_mm": [round(float(value), 5) for value in mask.pixdim],
            "boxes": cascade.get("boxes", []),
            "organs": cascade.get("organs", {}),
            "seconds": {stage: round(float(value), 3) for stage, value in seconds.items()},
            "peak_memory_mb": round(peak_memory_mb(), 1),
            "system": system,
            "weights_sha256": {
                Path(path).name: _sha256(str(path), os.stat(path).st_mtime_ns)
                for path in weights
                if path and Path(path).is_file()
            },
            "versions": versions(),
        }
    )


def failure_report(case: str, input_file: str | os.PathLike[str], outcome: str, reason: str) -> dict[str, Any]:
    """Return the report of a scan without a mask: ``invalid_input``, or ``failed`` for an unexpected error."""
    report = {"case": case, "outcome": outcome, "reason": reason, "reasons": [reason], "volume_ml": None}
    return {**report, "input_file": str(input_file), "versions": versions()}


def write_report(report: Mapping[str, Any], path: str | os.PathLike[str]) -> None:
    """Write the report as JSON; infinite and undefined numbers become null."""
    write_text(json.dumps(_plain(report), indent=2, allow_nan=False) + "\n", path)


def versions() -> dict[str, str]:
    """Return the versions of the bundle, of Python and of the packages that the mask depends on."""
    found = {"bundle": bundle.__version__, "python": platform.python_version()}
    for package in ("monai", "torch", "numpy"):
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = "unknown"
    return found


class SaveReportd(Saver):
    """Write ``<output_dir>/<case>/report.json`` with :func:`case_report`, and leave it in ``data["report"]``.

    Args:
        keys: masks; of several keys the last one stays.
        output_dir: parent of the case folders.
        system: which of the configured systems made the mask.
        weights: files of the weights.
    """

    file_name = FILE_NAME
    stage = "report"

    def __init__(
        self,
        keys: KeysCollection,
        output_dir: str | os.PathLike[str],
        system: str = "",
        weights: Sequence[str | os.PathLike[str] | None] = (),
        allow_missing_keys: bool = False,
    ) -> None:
        super().__init__(keys, output_dir, allow_missing_keys)
        self.system = system
        self.weights = weights

    def write(self, data: dict[Hashable, Any], volume: MetaTensor, path: Path) -> None:
        """Write the report, and leave it in the data."""
        said = data.get(ASSESSMENT_KEY)
        report = case_report(case_of(data, volume), volume, data[IMAGE_KEY], self.system, self.weights, said)
        data["report"] = report
        write_report(report, path)


def _cascade_of(mask: MetaTensor) -> dict[str, Any]:
    cascade = mask.meta.get(REPORT_KEY) or {}
    if isinstance(cascade, str):
        return json.loads(cascade)
    return cascade.as_dict() if hasattr(cascade, "as_dict") else dict(cascade)


@cache
def _sha256(path: str, changed_ns: int) -> str:
    """Return the file's SHA-256; training may change a file while the process runs, hence its time of change."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _plain(value: Any) -> Any:
    """Return dictionaries, lists and Python numbers in place of arrays, tensors and tuples."""
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    if isinstance(value, (torch.Tensor, np.ndarray, np.generic)):
        return _plain(value.tolist())
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value if value is None or isinstance(value, (bool, int, float, str)) else str(value)
