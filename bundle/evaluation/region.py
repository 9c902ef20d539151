"""How well the region of interest covers the truth, apart from what is found inside it."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch

from bundle.geometry import Box, as_size, tight_box

TRUTH_MARGIN = 10
"""Voxels around the truth's tight box in the ``_plus10`` metrics: the box that Zhao 2019 trains in."""

MAX_BOXES = 2
"""Boxes with metrics of their own; no system here has more."""

UNION_METRICS = ("roi_recall", "roi_lost", "roi_iou")
BOX_METRICS = tuple(
    f"box{number}_{metric}{margin}"
    for number in range(1, MAX_BOXES + 1)
    for metric in ("recall", "iou")
    for margin in ("", f"_plus{TRUTH_MARGIN}")
)
REGION_METRICS = (*UNION_METRICS, *BOX_METRICS)
"""Names that :func:`region_metrics` returns, in the order of the tables' columns."""


def region_metrics(boxes: Sequence[Box], label: np.ndarray) -> dict[str, float]:
    """Return how ``boxes``, and their union, lie to the truth.

    ``roi_recall`` is the share of truth voxels inside the union, ``roi_lost`` the share outside (no later stage can
    win it back), ``roi_iou`` the intersection over union with the tight box of the truth.

    ``box1_recall`` is the share of the truth's tight box that lies in the first box, ``box1_iou`` their intersection
    over union, ``box2_*`` those of the second box: table 2 of Zhao 2019, whose formulas are lost to us. It is unclear
    whether the true box there is the tight one: ``_plus10`` are the same against the tight box grown by 10 voxels.

    No boxes: recall and IoU of the union 0, lost 1, nothing of single boxes. Empty truth: all NaN.

    Args:
        boxes: regions on the grid of ``label``; parts outside the grid are ignored.
        label: boolean (X, Y, Z).
    """
    numbered = range(1, min(len(boxes), MAX_BOXES) + 1)
    names = [*UNION_METRICS, *(name for n in numbered for name in BOX_METRICS if name.startswith(f"box{n}_"))]
    tight = tight_box(torch.from_numpy(label.astype(bool)))
    if tight is None:
        return dict.fromkeys(names, math.nan)
    clipped = [box.clip(as_size(label.shape)) for box in boxes]
    values = _union_values(clipped, tight, label.astype(bool))
    grown = tight.grow([TRUTH_MARGIN] * 3).clip(as_size(label.shape))
    for box in clipped[:MAX_BOXES]:
        recalls, ious = zip(_recall_and_iou(box, tight), _recall_and_iou(box, grown))
        values += [*recalls, *ious]
    return dict(zip(names, values))


def _union_values(boxes: Sequence[Box], tight: Box, label: np.ndarray) -> list[float]:
    """Return the values of :data:`UNION_METRICS`."""
    union = np.zeros(label.shape, dtype=bool)
    for box in boxes:
        union[box.slices] = True
    inside = union[tight.slices]
    recall = np.count_nonzero(label[tight.slices] & inside) / np.count_nonzero(label)
    common = np.count_nonzero(inside)
    return [recall, 1 - recall, common / (np.count_nonzero(union) + inside.size - common)]


def _recall_and_iou(box: Box, truth: Box) -> tuple[float, float]:
    """Return how much of the box ``truth`` lies in ``box``, and their intersection over union."""
    sides = [max(0, min(b, d) - max(a, c)) for a, b, c, d in zip(box.start, box.stop, truth.start, truth.stop)]
    common, size, true_size = math.prod(sides), math.prod(box.size), math.prod(truth.size)
    return common / true_size, common / (size + true_size - common)
