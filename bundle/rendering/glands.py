"""Pancreas masks of real patients as anatomies that hold nothing but the gland, to be transplanted into bodies."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from scipy import ndimage

from bundle.errors import bad_input
from bundle.files import make_folder
from bundle.rendering.anatomy import (
    PANCREAS_VOLUME_ML,
    Anatomy,
    list_anatomies,
    read_ras,
    resample_tissues,
    write_anatomy,
)
from bundle.rendering.tissues import Tissue

logger = logging.getLogger(__name__)

_TRUTH_BIT = 1
_RULE = "a mask shows a gland (bit 1) of {:g}-{:g} ml".format(*PANCREAS_VOLUME_ML)
_REMEDY = "Check the values and the voxel spacing."
_FIRST_TURNED = 423
_MARGIN = 3


def build_glands(
    source: str | Path,
    output: str | Path,
    spacing_mm: float = 1.5,
    progress: Callable[[int, int, str], None] | None = None,
) -> list[Path]:
    """Write the pancreas of each mask (NIfTI; bit 1 is the gland) as an anatomy; those already there are kept.

    Masks of more or less than a gland's volume (``PANCREAS_VOLUME_ML``) are left out with a warning: a tumour of 800 ml
    is none.

    Returns:
        The written and the kept maps.

    Raises:
        InputError: no folder, no mask of a gland in it, or one that cannot be read; an ``output`` that cannot be made.
    """
    paths = []
    sources = list_anatomies(source)
    output = make_folder(output)
    for done, path in enumerate(sources):
        if progress is not None:
            progress(done, len(sources), path.name)
        written = output / path.name
        if not written.exists():
            gland = read_gland(path, spacing_mm)
            if gland is None:
                continue
            write_anatomy(gland, written)
        paths.append(written)
    if not paths:
        raise bad_input(source, _RULE, f"none among {len(sources)} masks", _REMEDY)
    return paths


def read_gland(path: str | Path, spacing_mm: float = 1.5) -> Anatomy | None:
    """Return the pancreas of one mask in RAS order, cropped; None, with a warning, if its volume is not a gland's.

    Raises:
        InputError: see :func:`~bundle.rendering.anatomy.read_ras`.
    """
    path = Path(path)
    codes, native_mm = read_ras(path)
    mask = upright((codes & _TRUTH_BIT).astype(np.uint8), path.name) * np.uint8(Tissue.PANCREAS)
    low, high = PANCREAS_VOLUME_ML
    volume_ml = np.count_nonzero(mask) * float(np.prod(native_mm)) / 1000
    if not low <= volume_ml <= high:
        logger.warning("left out: %s", bad_input(path, _RULE, f"{volume_ml:.1f} ml", _REMEDY))
        return None
    box = ndimage.find_objects(mask)[0]
    padded = np.pad(mask[box], _MARGIN)
    tissues = resample_tissues(padded, native_mm, spacing_mm)
    return Anatomy(torch.from_numpy(tissues), spacing_mm, path.name.split(".")[0])


def upright(mask: np.ndarray, name: str) -> np.ndarray:
    """The mask in RAS order.

    Masks of the Medical Decathlon's pancreas task are stored in RAS up to case 401; those from case 423 on are turned
    by 180 degrees about the anterior axis. Found by correlating each mask's occupancy, centred and scaled, with the
    mean of sixteen label maps of known orientation, for all eight flips: all fourteen from 423 on fit best when turned
    (0.35-0.89, but 0.06-0.60 as stored), the earlier ones as a group as stored.
    """
    case = re.match(r"msd_(\d+)", name)
    return mask[::-1, :, ::-1] if case and int(case[1]) >= _FIRST_TURNED else mask
