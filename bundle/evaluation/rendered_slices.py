"""Axial slices of rendered scans, in the form of the real ones: what a slice network may learn from before those."""

from __future__ import annotations

import random
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from torch.nn.functional import pad

from bundle.errors import bad_input
from bundle.geometry import spacing_of
from bundle.preprocess import to_ras
from bundle.read import case_name, label_classes, load_datalist, read_label, read_scan
from bundle.read.datalist import read_label_names
from bundle.read.slices import RealSlice

MIN_AREA_MM2 = 100.0
"""Of the gland in a slice; the real ones all show it, too."""

FIELD_MM = 384.0
"""Least width of a slice. A scan that ends nearer is surrounded with air, as far as the real slices' fields go."""

_AIR_HU = -1000.0


def rendered_slices(data: Path, per_scan: int = 3, seed: int = 0) -> list[RealSlice]:
    """Return random slices through the gland of each training scan of a Medical Decathlon folder.

    They are square and in 8 bits, Hounsfield units from 0 to 255, like the slices of
    :func:`~bundle.read.slices.read_slices`. A scan without gland gives none.

    Args:
        data: folder with dataset.json.
        per_scan: slices of a scan, fewer if it has fewer.
        seed: of which they are.

    Raises:
        InputError: no data set, a scan or label that can't be read, no pancreas in any of them.
    """
    _, names = read_label_names(data)
    classes = label_classes(data, None, ("background", "pancreas"), others=tuple(names.values()))
    rng = random.Random(seed)
    slices = [item for case in load_datalist(data, "training") for item in _slices(case, classes, per_scan, rng)]
    if not slices:
        raise bad_input(data, "a training scan holds pancreas", "none of them does", "Render scans with it.")
    return slices


def _slices(case: Mapping[str, str], classes: Mapping[int, int], count: int, rng: random.Random) -> list[RealSlice]:
    scan, label = to_ras(read_scan(case["image"])), to_ras(read_label(case["label"], classes))
    hu, gland = scan.as_tensor().float(), label.as_tensor().float()
    width_mm = spacing_of(label.affine)[:2]
    areas_mm2 = gland[0].sum(dim=(0, 1)).numpy() * np.prod(width_mm)
    wide_enough = np.flatnonzero(areas_mm2 >= MIN_AREA_MM2).tolist()
    side = max(*hu.shape[1:3], round(FIELD_MM / min(width_mm)))
    name, patient = case_name(case["image"]), case["patient"]
    return [
        RealSlice(
            f"{name}-{index:04d}",
            patient,
            _square(hu[..., index], side, _AIR_HU).clamp(0, 255).to(torch.uint8),
            _square(gland[..., index], side, 0) > 0,
        )
        for index in rng.sample(wide_enough, min(count, len(wide_enough)))
    ]


def _square(plane: torch.Tensor, side: int, outside: float) -> torch.Tensor:
    """Return ``plane`` (1, X, Y) in the middle of (1, side, side)."""
    ends = [((side - size) // 2, side - size - (side - size) // 2) for size in reversed(plane.shape[1:])]
    return pad(plane, [n for pair in ends for n in pair], value=outside)
