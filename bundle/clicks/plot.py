"""The picture of docs/clicks.md: Dice over clicks, the mean of each method and the single scans."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from bundle.clicks.curve import GEODESIC
from bundle.clicks.tables import dice_after
from bundle.files import replacing


def plot_curves(rows: Sequence[Mapping[str, Any]], path: Path) -> None:
    """Write a PNG: left the mean Dice of each method after each click, right each scan's own with ours."""
    figure = Figure(figsize=(10, 4.5), dpi=120, layout="constrained")
    left, right = figure.subplots(1, 2)
    for method in dict.fromkeys(str(row["method"]) for row in rows):
        chosen = [row for row in rows if row["method"] == method]
        values = [dice_after(chosen, count).mean() for count in range(_clicks(rows) + 1)]
        left.plot(values, "o-" if method == GEODESIC else "s--", label=method.replace("_", " "))
    left.legend()
    left.set_title("mean")
    for row in rows:
        if row["method"] == GEODESIC:
            right.plot([dice_after([row], count)[0] for count in range(_clicks(rows) + 1)], alpha=0.7)
    right.set_title(f"each scan, {GEODESIC}")
    for axes in (left, right):
        axes.set_xlabel("clicks")
        axes.set_ylabel("Dice")
        axes.grid(alpha=0.3)
    with replacing(path) as temporary:
        figure.savefig(temporary)


def _clicks(rows: Sequence[Mapping[str, Any]]) -> int:
    return sum(name.startswith("dice_") for name in rows[0]) - 1
