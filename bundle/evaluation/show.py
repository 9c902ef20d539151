"""Summary of an evaluation as text, for the log."""

from __future__ import annotations

import io
from collections.abc import Iterable, Sequence

from rich.console import Console
from rich.table import Table

from bundle.evaluation.tables import Row

SHOWN = ("dice", "surface_dice_2mm", "average_surface_distance_mm", "hausdorff_95_mm", "volume_error_ml", "roi_recall")
WIDTH = 120


def summary_text(summary: Sequence[Row], comparison: Sequence[Row]) -> str:
    """Return the main metrics by stage, the scans without pancreas and the comparison of stages, as drawn tables."""
    agreement = Table("stage", "metric", "n", "undefined", "mean ± sd", "median", "min", "max", title="with pancreas")
    absent = Table("stage", "scans", "share not_found", title="without pancreas")
    for row in summary:
        if row["scans"] == "with_pancreas" and row["metric"] in (*SHOWN, "seconds_total"):
            counts = [str(row["n"]), str(row["undefined"])]
            spread = [f"{row[name]:.3f}" for name in ("median", "min", "max")]
            mean = f"{row['mean']:.3f} ± {row['sd']:.3f}"
            agreement.add_row(row["stage"], row["metric"], *counts, mean, *spread)
        elif row["scans"] == "without_pancreas" and row["metric"] == "not_found":
            absent.add_row(row["stage"], str(row["n"]), f"{row['mean']:.3f}")
    versus = Table("against", "n", "difference of Dice", "95 % interval", "Wilcoxon p", "t-test p", title="fine minus")
    for row in comparison:
        interval = f"{row['low_95']:.3f} to {row['high_95']:.3f}"
        tests = [f"{row['wilcoxon_p']:.2g}", f"{row['t_test_p']:.2g}"]
        versus.add_row(row["against"], str(row["n"]), f"{row['mean_difference']:+.3f}", interval, *tests)
    return drawn(table for table in (agreement, absent, versus) if table.row_count)


def drawn(tables: Iterable[Table]) -> str:
    """Return rich tables as plain text."""
    console = Console(file=io.StringIO(), width=WIDTH, color_system=None)
    with console.capture() as capture:
        for table in tables:
            console.print(table)
    return capture.get()
