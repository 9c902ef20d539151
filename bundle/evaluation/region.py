"""How well the region of interest covers the truth, apart from what is found inside it."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from scipy import ndimage

from bundle.geometry import Box, as_size

REGION_METRICS = ("roi_recall", "roi_lost", "roi_iou")
"""Names that :func:`region_metrics` returns, in the order of the tables' columns."""


def region_metrics(boxes: Sequence[Box], label: np.ndarray) -> dict[str, float]:
    """Return how the union of ``boxes`` lies to the truth.

    ``roi_recall`` is the share of truth voxels inside the union, ``roi_lost`` the share outside (no later stage can
    win it back), ``roi_iou`` the intersection over union with the tight box of the truth.

    No boxes: recall and IoU 0, lost 1. Empty truth: all NaN.

    Args:
        boxes: regions on the grid of ``label``; parts outside the grid are ignored.
        label: boolean (X, Y, Z).
    """
    label = label.astype(bool)
    found = ndimage.find_objects(label.view(np.uint8))
    if not found:
        return dict.fromkeys(REGION_METRICS, math.nan)
    tight = found[0]
    union = np.zeros(label.shape, dtype=bool)
    for box in boxes:
        union[box.clip(as_size(label.shape)).slices] = True
    recall = np.count_nonzero(label[tight] & union[tight]) / np.count_nonzero(label)
    common = np.count_nonzero(union[tight])
    iou = common / (np.count_nonzero(union) + label[tight].size - common)
    return {"roi_recall": recall, "roi_lost": 1 - recall, "roi_iou": iou}
