"""Tables of an evaluation as CSV: one row per case and stage, and what is derived from it."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from bundle.evaluation.metrics import METRICS, VESSEL_METRICS
from bundle.evaluation.region import BOX_METRICS, UNION_METRICS
from bundle.files import replacing

Row = Mapping[str, Any]
"""One line of a table, by column name; a missing column is an empty cell."""

STAGES = ("coarse", "fine", "fine_true_region", "whole_scan")
"""What is scored: the localizer, the cascade, the cascade given the true region, the segmenter slid over all."""

SUMMARY_COLUMNS = ("scans", "stage", "metric", "n", "undefined", "mean", "sd", "median", "min", "max")
COMPARISON_COLUMNS = ("stage", "against", "n", "mean_difference", "low_95", "high_95", "wilcoxon_p", "t_test_p")
TEXT_COLUMNS = ("case", "stage", "outcome", "scans", "metric", "against")


def case_columns(rows: Iterable[Row]) -> list[str]:
    """Return the columns of the per-case table: the fixed ones, vessels, single boxes, ``seconds_*`` of each step.

    Vessels that no truth has, boxes that no scan has and steps that none was timed for are left out.
    """
    names = dict.fromkeys(name for row in rows for name in row)
    vessels = [name for name in VESSEL_METRICS if name in names]
    boxes = [name for name in BOX_METRICS if name in names]
    steps = [name for name in names if name.startswith("seconds_") and name != "seconds_total"]
    total = ["seconds_total"] if "seconds_total" in names else []
    return ["case", "stage", "outcome", *METRICS, *vessels, *UNION_METRICS, *boxes, *steps, *total, "peak_memory_mb"]


def write_table(rows: Iterable[Row], columns: Sequence[str], path: Path) -> None:
    """Write ``rows`` as CSV with a heading; an absent value is an empty cell, an undefined one "nan"."""
    with replacing(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, columns, restval="", extrasaction="raise")
        writer.writeheader()
        writer.writerows({name: _cell(value) for name, value in row.items()} for row in rows)


def read_table(path: Path) -> list[dict[str, Any]]:
    """Return the rows of a table written by :func:`write_table`, numbers as float, empty cells left out."""
    with path.open(newline="", encoding="utf-8") as file:
        return [{name: _value(name, text) for name, text in row.items() if text != ""} for row in csv.DictReader(file)]


def _cell(value: Any) -> Any:
    return f"{value:.6g}" if isinstance(value, float) else value


def _value(name: str, text: str) -> str | float:
    return text if name in TEXT_COLUMNS else float(text)
