"""Where the outputs of a case go, and what is known about its mask."""

from __future__ import annotations

import os
import time
from collections.abc import Hashable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from monai.data import MetaTensor

from bundle.read.datalist import case_name

RESULT_FILES = (
    "segmentation.nii.gz",
    "probabilities.nii.gz",
    "segmentation.dcm",
    "measurements.dcm",
    "rtstruct.dcm",
    "overlay.png",
    "report.html",
    "report.json",
)
"""Every name that a file in a case's folder may have: the ``FILE_NAME`` of the writers, and of nothing else there."""


def case_of(data: Mapping[Hashable, Any], image: MetaTensor) -> str:
    """Return ``data["case"]``, else the name of the file the image was read from."""
    return str(data.get("case") or case_name(image.meta.get("filename_or_obj", "scan")))


def case_folder(output_dir: str | os.PathLike[str], data: Mapping[Hashable, Any], image: MetaTensor) -> Path:
    """Return ``<output_dir>/<case>``."""
    return Path(output_dir) / case_of(data, image)


def volume_ml(mask: MetaTensor) -> float:
    """Return the volume of the voxels above 0 in millilitres, from the affine; 0 for an empty mask."""
    voxel_mm3 = abs(np.linalg.det(np.asarray(mask.affine, dtype=float)[:3, :3]))
    return float(np.count_nonzero(as_array(mask)) * voxel_mm3 / 1000)


def as_array(volume: MetaTensor) -> np.ndarray:
    """Return a (1, X, Y, Z) or (X, Y, Z) tensor as (X, Y, Z) array."""
    array = volume.detach().cpu().numpy()
    if array.ndim == 4 and len(array) == 1:
        array = array[0]
    if array.ndim != 3:
        raise ValueError(f"a volume is (1, X, Y, Z) or (X, Y, Z), got {tuple(volume.shape)}")
    return array


def foreground_box(array: np.ndarray) -> tuple[slice, slice, slice] | None:
    """Return the smallest box of an (X, Y, Z) array that holds all voxels above 0, None if there are none."""
    sheet = np.any(array, axis=0)
    if not sheet.any():
        return None
    return _extent(np.any(array, axis=(1, 2))), _extent(np.any(sheet, axis=1)), _extent(np.any(sheet, axis=0))


@contextmanager
def timed(mask: MetaTensor, stage: str) -> Iterator[None]:
    """Add the seconds of the block to ``mask.meta["seconds"][stage]``, for the report."""
    started = time.perf_counter()
    yield
    seconds = mask.meta.setdefault("seconds", {})
    seconds[stage] = seconds.get(stage, 0.0) + time.perf_counter() - started


def _extent(line: np.ndarray) -> slice:
    indices = np.flatnonzero(line)
    return slice(int(indices[0]), int(indices[-1]) + 1)
