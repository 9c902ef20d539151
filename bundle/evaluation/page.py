"""An evaluation as a page: the stages side by side, the cascade against each of them, scans without the organ."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from bundle.cascade.report import WITHOUT_MASK
from bundle.evaluation.markdown import markdown_table
from bundle.evaluation.metrics import METRICS, VESSEL_METRICS
from bundle.evaluation.summary import compare_stages, describe, has_pancreas, spread
from bundle.evaluation.tables import STAGES, Row

_NAMES = {
    "coarse": "localizer alone",
    "fine": "**cascade**",
    "fine_true_region": "segmenter in the true region",
    "whole_scan": "segmenter over the whole scan",
}
_COLUMNS = (*METRICS, *VESSEL_METRICS, "roi_recall", "roi_iou", "seconds_total")
_WITH_RANGE = ("dice", "roi_recall")


def evaluation_page(rows: Sequence[Row], seed: int = 0) -> str:
    """Return the tables of an evaluation as Markdown; parts that no scan belongs to are left out.

    Args:
        rows: one per scan and stage.
        seed: of the bootstrap.
    """
    found, absent = [row for row in rows if has_pancreas(row)], [row for row in rows if not has_pancreas(row)]
    parts = []
    if found:
        parts += [
            "Mean ± sd [min, max]; distances in mm on the scan's own grid; `roi_recall` is the share of the gland in "
            "the region, `vessel_share` that of portal, splenic and mesenteric vein in the mask.",
            _stages(found),
        ]
        comparison = compare_stages(found, seed=seed)
        parts += [_comparison(comparison)] if comparison else []
    if absent:
        parts += [_absent([row for row in absent if row["stage"] == "fine"])]
    return "\n\n".join(parts) + "\n"


def _stages(rows: Sequence[Row]) -> str:
    columns = [name for name in _COLUMNS if name not in VESSEL_METRICS or any(name in row for row in rows)]
    lines = []
    for stage in STAGES:
        members = [row for row in rows if row["stage"] == stage]
        if members:
            lines.append([_NAMES[stage], len(members), *(_statistics(members, column) for column in columns)])
    return markdown_table(["stage", "scans", *columns], lines)


def _statistics(rows: Sequence[Row], column: str) -> str:
    digits = 1 if column.endswith(("_mm", "_ml")) or column.startswith("seconds") else 3
    return spread(describe([row[column] for row in rows if column in row]), digits, column in _WITH_RANGE)


def _comparison(comparison: Sequence[Row]) -> str:
    lines = [
        [
            _NAMES[row["against"]],
            row["n"],
            f"{row['mean_difference']:+.3f}",
            f"{row['low_95']:.3f} to {row['high_95']:.3f}",
            f"{row['wilcoxon_p']:.2g}",
            f"{row['t_test_p']:.2g}",
        ]
        for row in comparison
    ]
    return markdown_table(
        ["cascade minus", "n", "difference of Dice", "95 % interval", "Wilcoxon p", "t-test p"], lines
    )


def _absent(rows: Sequence[Row]) -> str:
    counts = Counter(row["outcome"] for row in rows)
    empty = sum(counts[outcome] for outcome in WITHOUT_MASK)
    outcomes = ", ".join(f"{count} `{outcome}`" for outcome, count in counts.most_common())
    return f"Without a gland: {empty} of {len(rows)} scans without a mask ({outcomes})."
