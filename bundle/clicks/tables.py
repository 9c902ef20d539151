"""The tables of docs/clicks.md: Dice over clicks by group of scans, and paired differences."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from bundle.clicks.curve import GEODESIC
from bundle.evaluation.markdown import markdown_table
from bundle.evaluation.real_ct import CASES
from bundle.evaluation.summary import paired_tests

Row = Mapping[str, Any]

RENDERED = "rendered"
_SHOWN = (0, 1, 2, 3, 5, 10)
_COMPARED = (1, 3, 5, 10)
_REAL = tuple(case.name for case in CASES)


def dice_after(rows: Sequence[Row], clicks: int) -> np.ndarray:
    """Return the Dice of each row after so many clicks."""
    return np.array([float(row[f"dice_{clicks}"]) for row in rows])


def dice_table(rows: Sequence[Row]) -> str:
    """Return the mean Dice over clicks as Markdown: of the rendered scans, and of each real one, by method."""
    counts = [count for count in _SHOWN if f"dice_{count}" in rows[0]]
    in_order = [row for row in rows if _group(row) == RENDERED] + [row for row in rows if _group(row) != RENDERED]
    groups = dict.fromkeys((_group(row), row["method"]) for row in in_order)
    lines = []
    for group, method in groups:
        chosen = [row for row in rows if (_group(row), row["method"]) == (group, method)]
        means = [f"{dice_after(chosen, count).mean():.3f}" for count in counts]
        lines.append([f"{group}: {_name(method)}", len(chosen), *means])
    return markdown_table(["", "scans", *counts], lines)


def difference_table(rows: Sequence[Row]) -> str:
    """Return as Markdown by how much clicks beat none, and each other method, paired by rendered scan.

    Mean, 95 % interval (bootstrap over scans, seed 0), and in how many scans the difference is positive. Nothing
    without two rendered scans.
    """
    by_method: dict[str, list[Row]] = {}
    for row in rows:
        if _group(row) == RENDERED:
            by_method.setdefault(row["method"], []).append(row)
    ours = by_method.pop(GEODESIC, [])
    if len(ours) < 2:
        return ""
    counts = [count for count in _COMPARED if f"dice_{count}" in ours[0]]
    lines = [["more than without clicks", *(_gain(dice_after(ours, n) - dice_after(ours, 0)) for n in counts)]]
    for method, others in by_method.items():
        gains = [_gain(dice_after(ours, n) - dice_after(others, n)) for n in counts]
        lines.append([f"more than {_name(method)}", *gains])
    return markdown_table([f"on the {len(ours)} rendered scans", *(f"after {n}" for n in counts)], lines)


def _group(row: Row) -> str:
    return str(row["case"]) if row["case"] in _REAL else RENDERED


def _name(method: str) -> str:
    return "clicks" if method == GEODESIC else method.replace("_", " ")


def _gain(differences: np.ndarray) -> str:
    test = paired_tests(differences.tolist())
    interval = f"[{test['low_95']:+.3f}, {test['high_95']:+.3f}]"
    return f"{test['mean_difference']:+.3f} {interval}, {(differences > 0).sum()} of {len(differences)}"
