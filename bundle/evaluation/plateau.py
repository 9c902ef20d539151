"""How Dice depends on the threshold: the flatter, the less there is to choose (Cai et al. 2018, Fig. 5)."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from bundle.files import replacing

THRESHOLDS = tuple(round(0.05 * k, 2) for k in range(1, 20))
"""0.05, 0.10, ... 0.95."""


def dice_by_threshold(probability: np.ndarray, label: np.ndarray) -> np.ndarray:
    """Return the Dice of ``probability >= threshold`` for each of :data:`THRESHOLDS`; 1 where both masks are empty.

    Args:
        probability: of any shape.
        label: boolean, of that shape.

    Raises:
        ValueError: if the shapes differ.
    """
    if probability.shape != label.shape:
        raise ValueError(f"probability and label lie on one grid; received {probability.shape} and {label.shape}")
    found = _count_by_threshold(probability)
    common = _count_by_threshold(probability[label])
    total = found + np.count_nonzero(label)
    return np.where(total > 0, 2 * common / np.maximum(total, 1), 1.0)


def plot_plateau(dice: Mapping[str, np.ndarray], path: Path) -> None:
    """Write a PNG: mean Dice over the thresholds, a line per system or loss.

    Args:
        dice: name to (cases, thresholds) as of :func:`dice_by_threshold`.
        path: of the picture.
    """
    figure = Figure(figsize=(6, 4), dpi=120, layout="constrained")
    axes = figure.subplots()
    for name, values in dice.items():
        axes.plot(THRESHOLDS, np.mean(values, axis=0), marker="o", markersize=3, label=f"{name} (n = {len(values)})")
    axes.set_xlabel("threshold")
    axes.set_ylabel("mean Dice")
    axes.set_xlim(0, 1)
    axes.grid(alpha=0.3)
    if dice:
        axes.legend()
    with replacing(path) as temporary:
        figure.savefig(temporary)


def _count_by_threshold(values: np.ndarray) -> np.ndarray:
    """Return how many of ``values`` reach each threshold."""
    reached = np.searchsorted(np.asarray(THRESHOLDS, dtype=values.dtype), values.ravel(), side="right")
    exactly = np.bincount(reached, minlength=len(THRESHOLDS) + 1)
    return exactly[::-1].cumsum()[::-1][1:]
