"""How well one predicted mask agrees with the truth."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch
from monai.metrics import get_mask_edges, get_surface_distance
from scipy import ndimage

SURFACE_TOLERANCE_MM = 2.0
HAUSDORFF_PERCENTILE = 95
CROP_MARGIN = 2
"""Background voxels kept around both masks, so that a mask touching the scan's border has a surface there."""

DISTANCE_METRICS = ("average_surface_distance_mm", "hausdorff_95_mm")
METRICS = (
    "dice",
    "jaccard",
    "precision",
    "recall",
    *DISTANCE_METRICS,
    "surface_dice_2mm",
    "volume_error_ml",
    "pred_volume_ml",
    "label_volume_ml",
)
"""Names that :func:`case_metrics` returns, in the order of the tables' columns."""

VESSEL_METRICS = ("vessel_share",)
"""Names that :func:`vessel_metrics` returns."""


def case_metrics(pred: np.ndarray, label: np.ndarray, spacing_mm: Sequence[float]) -> dict[str, float]:
    r"""Return the metrics of one scan, named as in :data:`METRICS`.

    With A the prediction and B the truth: dice :math:`2|A∩B|/(|A|+|B|)`, jaccard :math:`|A∩B|/|A∪B|`, precision
    :math:`|A∩B|/|A|`, recall :math:`|A∩B|/|B|` (Xue et al. 2019, eq. 12-15). ``average_surface_distance_mm`` is the
    mean of the two directed mean distances, ``hausdorff_95_mm`` the larger of the two directed 95th percentiles, both
    between surface voxels. ``surface_dice_2mm`` is the share of both surfaces' area within 2 mm of the other (Nikolov
    et al. 2018, https://arxiv.org/abs/1809.04430). ``volume_error_ml`` is prediction minus truth. Distances come from
    MONAI.

    Both masks empty: dice, jaccard, precision, recall and surface dice are 1, distances 0. One empty: the five overlaps
    are 0 and the distances NaN, which the summary counts as undefined.

    Args:
        pred: boolean (X, Y, Z).
        label: boolean (X, Y, Z), on the grid of ``pred``.
        spacing_mm: voxel size along X, Y, Z.

    Raises:
        ValueError: if the shapes differ.
    """
    if pred.shape != label.shape:
        raise ValueError(f"pred and label lie on one grid; received shapes {pred.shape} and {label.shape}")
    pred, label = _crop_to_both(pred.astype(bool), label.astype(bool))
    voxel_ml = math.prod(spacing_mm) / 1000
    pred_volume_ml = np.count_nonzero(pred) * voxel_ml
    label_volume_ml = np.count_nonzero(label) * voxel_ml
    return {
        **_overlaps(pred, label),
        **_surface_metrics(pred, label, spacing_mm),
        "volume_error_ml": pred_volume_ml - label_volume_ml,
        "pred_volume_ml": pred_volume_ml,
        "label_volume_ml": label_volume_ml,
    }


def vessel_metrics(pred: np.ndarray, vessels: np.ndarray) -> dict[str, float]:
    """Return ``vessel_share``, the share of the prediction that the truth calls vessel: experts leave them out.

    Empty prediction: NaN. No vessel in the truth: nothing, since few data sets outline any.

    Args:
        pred: boolean (X, Y, Z).
        vessels: boolean (X, Y, Z), on the grid of ``pred``.
    """
    if not vessels.any():
        return {}
    return {"vessel_share": np.count_nonzero(pred & vessels) / np.count_nonzero(pred) if pred.any() else math.nan}


def _crop_to_both(pred: np.ndarray, label: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Cut both masks to their common bounding box and put :data:`CROP_MARGIN` background voxels around it."""
    found = ndimage.find_objects((pred | label).view(np.uint8))
    box = found[0] if found else (slice(0, 0),) * pred.ndim
    return np.pad(pred[box], CROP_MARGIN), np.pad(label[box], CROP_MARGIN)


def _overlaps(pred: np.ndarray, label: np.ndarray) -> dict[str, float]:
    common = np.count_nonzero(pred & label)
    n_pred, n_label = np.count_nonzero(pred), np.count_nonzero(label)
    if n_pred == n_label == 0:
        return {"dice": 1.0, "jaccard": 1.0, "precision": 1.0, "recall": 1.0}
    return {
        "dice": 2 * common / (n_pred + n_label),
        "jaccard": common / (n_pred + n_label - common),
        "precision": common / n_pred if n_pred else 0.0,
        "recall": common / n_label if n_label else 0.0,
    }


def _surface_metrics(pred: np.ndarray, label: np.ndarray, spacing_mm: Sequence[float]) -> dict[str, float]:
    if not pred.any() and not label.any():
        return {"average_surface_distance_mm": 0.0, "hausdorff_95_mm": 0.0, "surface_dice_2mm": 1.0}
    if not pred.any() or not label.any():
        return {"average_surface_distance_mm": math.nan, "hausdorff_95_mm": math.nan, "surface_dice_2mm": 0.0}
    spacing = [float(size) for size in spacing_mm]
    edges_pred, edges_label = get_mask_edges(pred, label, crop=False)
    distances = _both_directions(edges_pred, edges_label, spacing)
    return {
        "average_surface_distance_mm": float(np.mean([np.mean(d) for d in distances])),
        "hausdorff_95_mm": float(max(np.percentile(d, HAUSDORFF_PERCENTILE) for d in distances)),
        "surface_dice_2mm": _surface_dice(pred, label, spacing),
    }


def _both_directions(edges_pred: np.ndarray, edges_label: np.ndarray, spacing_mm: list[float]) -> list[np.ndarray]:
    """Distances in mm from each surface voxel of the prediction to the truth's nearest, and the other way round."""
    return [
        np.asarray(get_surface_distance(edges_pred, edges_label, spacing=spacing_mm)),
        np.asarray(get_surface_distance(edges_label, edges_pred, spacing=spacing_mm)),
    ]


def _surface_dice(pred: np.ndarray, label: np.ndarray, spacing_mm: list[float]) -> float:
    """Area within the tolerance over all area of both surfaces, as ``monai.metrics.compute_surface_dice`` has it."""
    masks = torch.from_numpy(pred), torch.from_numpy(label)
    edges_pred, edges_label, *areas = (part.numpy() for part in get_mask_edges(*masks, crop=False, spacing=spacing_mm))
    surfaces = [area[edges] for area, edges in zip(areas, (edges_pred, edges_label), strict=True)]
    distances = _both_directions(edges_pred, edges_label, spacing_mm)
    within = sum(area[d <= SURFACE_TOLERANCE_MM].sum() for area, d in zip(surfaces, distances, strict=True))
    return float(within / sum(area.sum() for area in surfaces))
