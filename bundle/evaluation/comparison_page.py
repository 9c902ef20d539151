"""The page of the systems side by side: tables and pictures from their scores."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from bundle.evaluation.markdown import markdown_table
from bundle.evaluation.plot import plot_costs, plot_groups
from bundle.evaluation.summary import describe, dice_by_case, has_pancreas, paired_tests, spread
from bundle.evaluation.tables import Row
from bundle.files import make_folder

STAGES = ("localizer", "segmenter")

PUBLISHED = {
    "xue2019": (71.9, "85.9, with CRF 86.4"),
    "zhao2019": (81.4, "85.99 ± 4.51"),
    "cai2018": (None, "83.7 ± 5.1"),
    "zhu2018": (83.18, "84.59 ± 4.86"),
    "roth2018": (None, "76.8 ± 9.4"),
}
"""Dice in percent on NIH Pancreas-CT that each paper reports, coarse and fine; on other scans than ours."""

_COLUMNS = ("coarse", "fine", "fine, true region", "ROI recall", "s localize", "s segment", "peak MB", "parameters, M")
_TEST = ("n", "difference of Dice", "95 % interval", "Wilcoxon p")


@dataclass(frozen=True)
class Trained:
    """What is left of a system's training.

    Args:
        parameters: of all its networks.
        steps: of each stage's optimizer; a system of one stage has no ``localizer``.
    """

    parameters: int
    steps: Mapping[str, int]


def comparison_parts(
    rows: Mapping[str, Sequence[Row]],
    variants: Mapping[str, Mapping[str, Sequence[Row]]],
    reference: str,
    trained: Mapping[str, Trained],
    budget: str,
) -> dict[str, str]:
    """Return Markdown by name: ``budget``, ``systems``, ``differences``, ``variants``, ``published``.

    Args:
        rows: of ``cases.csv``, by system.
        variants: of the same weights used in another way, by system and name.
        reference: the system that the others are compared to, pair by pair.
        trained: by system.
        budget: of each stage, in words.
    """
    steps = [[name, *(trained[name].steps.get(stage, "–") for stage in STAGES)] for name in rows]
    systems = [[name, *_cells(cases, trained[name].parameters)] for name, cases in rows.items()]
    fine = {name: dice_by_case(cases, "fine") for name, cases in rows.items()}
    coarse = {name: dice for name, cases in rows.items() if (dice := dice_by_case(cases, "coarse"))}
    others = [_paired(name, fine[reference], fine[name]) for name in rows if name != reference and reference in rows]
    gains = [_paired(name, fine[name], coarse[name]) for name in coarse]
    varied = [
        [
            *_paired(f"{name}, {variant}", dice_by_case(cases, "fine"), fine[name]),
            _mean(_of_pancreas(cases, "fine"), "seconds_segment", 1),
        ]
        for name, of_system in variants.items()
        for variant, cases in of_system.items()
    ]
    published = [[name, "–" if known is None else known, final] for name, (known, final) in PUBLISHED.items()]
    return {
        "budget": f"Each stage was trained for {budget}. In this time, the optimizer took these steps:\n\n"
        + markdown_table(["system", *STAGES], steps),
        "systems": "Dice: mean ± sd [min, max].\n\n" + markdown_table(["system", *_COLUMNS], systems),
        "differences": markdown_table([f"{reference} minus", *_TEST], others)
        + "\n\n"
        + markdown_table(["fine minus coarse", *_TEST], gains),
        "variants": markdown_table(["variant minus the system", *_TEST, "s segment"], varied),
        "published": "What the papers report on NIH Pancreas-CT, Dice in percent, **theirs, on other scans**:\n\n"
        + markdown_table(["system", "coarse", "fine"], published),
    }


def draw_comparison(rows: Mapping[str, Sequence[Row]], folder: Path) -> None:
    """Write ``comparison.png``, Dice by system and stage, and ``comparison_costs.png``, Dice by seconds."""
    make_folder(folder)
    groups = {
        f"{name}_{stage}": list(dice_by_case(cases, stage).values())
        for name, cases in rows.items()
        for stage in ("coarse", "fine")
    }
    plot_groups(groups, "Dice of the held-out scans", folder / "comparison.png")
    costs = {name: _cost_and_dice(_of_pancreas(cases, "fine")) for name, cases in rows.items()}
    plot_costs(costs, "seconds per scan, both stages", "mean Dice", folder / "comparison_costs.png")


def _of_pancreas(rows: Sequence[Row], stage: str) -> list[Row]:
    return [row for row in rows if row["stage"] == stage and has_pancreas(row)]


def _cells(rows: Sequence[Row], parameters: int) -> list[str]:
    fine = _of_pancreas(rows, "fine")
    scores = [_score(_of_pancreas(rows, stage), "dice") for stage in ("coarse", "fine", "fine_true_region")]
    columns = (("seconds_localize", 1), ("seconds_segment", 1), ("peak_memory_mb", 0))
    costs = [_mean(fine, column, digits) for column, digits in columns]
    return [*scores, _score(fine, "roi_recall"), *costs, f"{parameters / 1e6:.2f}"]


def _score(rows: Sequence[Row], column: str) -> str:
    return spread(describe([row[column] for row in rows if column in row]))


def _mean(rows: Sequence[Row], column: str, digits: int) -> str:
    stats = describe([row[column] for row in rows if column in row])
    return f"{stats['mean']:.{digits}f}" if stats["n"] else "–"


def _paired(name: str, dice: Mapping[str, float], other: Mapping[str, float]) -> list[str]:
    """Return the cells of a paired test over the scans that both have."""
    test = paired_tests([dice[case] - other[case] for case in dice if case in other])
    interval = f"{test['low_95']:.3f} to {test['high_95']:.3f}"
    return [name, str(test["n"]), f"{test['mean_difference']:+.3f}", interval, f"{test['wilcoxon_p']:.2g}"]


def _cost_and_dice(rows: Sequence[Row]) -> tuple[float, float]:
    seconds = [row.get("seconds_localize", 0.0) + row.get("seconds_segment", 0.0) for row in rows]
    return describe(seconds)["mean"], describe([row["dice"] for row in rows])["mean"]
