"""Pictures of evaluations: Dice by stage and what the region keeps of the truth, values by group, scores by cost."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from bundle.evaluation.summary import has_pancreas
from bundle.evaluation.tables import STAGES, Row
from bundle.files import replacing

JITTER = 0.12
SEED = 0


def plot_cases(rows: Sequence[Row], path: Path) -> None:
    """Write a PNG: each case's Dice by stage as points over boxes, and beside it each case's ROI recall.

    Scans without pancreas are left out; without any other scan, both panels stay empty.
    """
    # A Figure of its own leaves pyplot's global state and its choice of window system alone.
    figure = Figure(figsize=(10, 4.5), dpi=120, layout="constrained")
    left, right = figure.subplots(1, 2, width_ratios=[3, 1])
    of_pancreas = [row for row in rows if has_pancreas(row)]
    _strips(left, {stage: _values(of_pancreas, stage, "dice") for stage in STAGES})
    left.set_ylabel("Dice")
    left.set_ylim(-0.02, 1.02)
    _strips(right, {"region": _values(of_pancreas, "fine", "roi_recall")})
    right.set_ylabel("share of the truth inside the region")
    with replacing(path) as temporary:
        figure.savefig(temporary)


def plot_groups(groups: Mapping[str, Sequence[float]], label: str, path: Path) -> None:
    """Write a PNG: the values of each group as points over a box; ``label`` names the axis from 0 to 1."""
    figure = Figure(figsize=(10, 4.5), dpi=120, layout="constrained")
    axes = figure.subplots()
    _strips(axes, groups)
    axes.set_ylabel(label)
    axes.set_ylim(-0.02, 1.02)
    with replacing(path) as temporary:
        figure.savefig(temporary)


def plot_costs(points: Mapping[str, tuple[float, float]], cost: str, score: str, path: Path) -> None:
    """Write a PNG: what each costs (to the right, logarithmic) and scores (from 0 to 1), with its name.

    Points without a cost are left out.
    """
    figure = Figure(figsize=(7, 4.5), dpi=120, layout="constrained")
    axes = figure.subplots()
    for name, (seconds, value) in points.items():
        if seconds > 0:
            axes.plot(seconds, value, "o")
            axes.annotate(name, (seconds, value), xytext=(6, 4), textcoords="offset points")
    axes.set_xscale("log")
    axes.set_xlabel(cost)
    axes.set_ylabel(score)
    axes.set_ylim(-0.02, 1.02)
    axes.margins(x=0.2)
    axes.grid(alpha=0.3)
    with replacing(path) as temporary:
        figure.savefig(temporary)


def _values(rows: Sequence[Row], stage: str, metric: str) -> list[float]:
    values = [row.get(metric, math.nan) for row in rows if row["stage"] == stage]
    return [value for value in values if not math.isnan(value)]


def _strips(axes: Axes, groups: Mapping[str, Sequence[float]]) -> None:
    shown = {name.replace("_", "\n"): values for name, values in groups.items() if values}
    rng = np.random.default_rng(SEED)
    for position, values in enumerate(shown.values()):
        axes.boxplot(values, positions=[position], widths=0.5, showfliers=False, medianprops={"color": "black"})
        axes.plot(position + rng.uniform(-JITTER, JITTER, len(values)), values, "o", markersize=4, alpha=0.6)
    axes.set_xticks(range(len(shown)), [f"{name}\n(n = {len(values)})" for name, values in shown.items()])
    axes.grid(axis="y", alpha=0.3)
