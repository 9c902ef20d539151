"""One picture of a quality score: prediction against truth, ROC curve, risk-coverage curve."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from bundle.files import replacing
from bundle.quality.curves import BAD_DICE, auroc, calibration_bins, risk_coverage

Results = Mapping[str, tuple[np.ndarray, np.ndarray]]
"""Predicted and true Dice of each group of results."""


def plot_quality(groups: Results, path: Path, pooled: str = "all") -> None:
    """Write a PNG with three panels.

    Left, each result's predicted and true Dice, and the means of groups of equal size (calibration); middle, the ROC
    curve for Dice < 0.7; right, the share of such results among those with the best prediction.

    Args:
        groups: coloured apart at the left; with more than one, middle and right show each, and all together.
        path: of the picture.
        pooled: what all together are called.
    """
    figure = Figure(figsize=(13, 4.3), dpi=110, layout="constrained")
    left, middle, right = figure.subplots(1, 3)
    predictions, truths = zip(*groups.values())
    together = np.concatenate(predictions), np.concatenate(truths)
    shown = {**groups, pooled: together} if len(groups) > 1 else dict(groups)
    _calibration(left, groups, together)
    for name, (predicted, dice) in shown.items():
        style: dict[str, Any] = {"alpha": 0.8}
        if name == pooled or len(shown) == 1:
            style = {"color": "black", "linewidth": 2}
        _roc(middle, name, predicted, dice < BAD_DICE, style)
        coverage, risk = risk_coverage(predicted, dice)
        right.plot(coverage, risk, label=name, **style)
    middle.plot([0, 1], [0, 1], ":", color="grey")
    middle.set(xlabel="share of good results flagged", ylabel=f"share of results with Dice < {BAD_DICE:g} flagged")
    right.set(xlabel="coverage: share of results kept, best prediction first", ylabel=f"share with Dice < {BAD_DICE:g}")
    right.set_ylim(-0.02, None)
    for axes in (left, middle, right):
        axes.grid(alpha=0.3)
    middle.legend(loc="lower right", fontsize=8)
    if len(shown) > 1:
        right.legend(loc="center left", fontsize=8)
    with replacing(path) as temporary:
        figure.savefig(temporary)


def _calibration(axes: Axes, groups: Results, together: tuple[np.ndarray, np.ndarray]) -> None:
    for name, (predicted, dice) in groups.items():
        axes.plot(predicted, dice, "o", markersize=4, alpha=0.55, label=name)
    bins = calibration_bins(*together)
    axes.plot([b[0] for b in bins], [b[1] for b in bins], "s-", color="black", label="means of groups of equal size")
    axes.plot([0, 1], [0, 1], ":", color="grey")
    axes.axhline(BAD_DICE, color="grey", linewidth=0.8)
    axes.axvline(BAD_DICE, color="grey", linewidth=0.8)
    low = max(0.0, float(min(together[0].min(), together[1].min())) - 0.05)
    axes.set(xlabel="predicted Dice", ylabel="true Dice", xlim=(low, 1), ylim=(low, 1))
    axes.legend(loc="upper left", fontsize=8)


def _roc(axes: Axes, name: str, predicted: np.ndarray, bad: np.ndarray, style: dict[str, Any]) -> None:
    if not bad.any() or bad.all():
        return
    thresholds = np.concatenate([[-np.inf], np.unique(predicted), [np.inf]])
    flagged = predicted[None, :] < thresholds[:, None]
    hits, alarms = flagged[:, bad].mean(axis=1), flagged[:, ~bad].mean(axis=1)
    axes.plot(alarms, hits, label=f"{name}: AUROC {auroc(predicted, bad):.2f}", **style)
