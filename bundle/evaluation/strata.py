"""For which rendered scans the cascade does well: scores by contrast phase, grid, gland and artefact."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from operator import itemgetter
from pathlib import Path
from typing import Any

from bundle.errors import bad_input
from bundle.evaluation.markdown import markdown_table
from bundle.evaluation.summary import bootstrap_interval, describe, has_pancreas, spread
from bundle.evaluation.tables import Row

Facts = Mapping[str, Any]
"""What was drawn in a rendered scan, see :func:`~bundle.rendering.dataset.write_dataset`."""

COLUMNS = ("dice", "vessel_share")


class Ranges:
    """Group of a number that is never negative: below the first limit, between two, from the last one on.

    Args:
        fact: the number's name.
        limits: rising.
    """

    def __init__(self, fact: str, *limits: float) -> None:
        self.fact = fact
        self.limits = (0.0, *limits)

    def __call__(self, facts: Facts) -> str:
        for low, high in zip(self.limits, self.limits[1:]):
            if facts[self.fact] < high:
                return f"{low:g} to {high:g}"
        return f"from {self.limits[-1]:g}"


def _source(facts: Facts) -> str:
    request = facts["request"]
    if request["anatomy"] is None:
        return "drawn body, transplanted gland" if request.get("gland") else "drawn body"
    return "label map, transplanted gland" if request.get("gland") else "label map"


def _lesion(facts: Facts) -> str:
    kinds = {"tumour": facts["tumour"], "cysts": facts["cysts"], "calcified": facts["calcified"]}
    return " and ".join(name for name, present in kinds.items() if present) or "none"


def _artefact(facts: Facts) -> str:
    kinds = {"metal": facts["metal"] != "none", "streaks": facts["starvation"], "motion": facts["motion_mm"] > 0}
    return " and ".join(name for name, present in kinds.items() if present) or "none"


PROPERTIES: dict[str, Callable[[Facts], str]] = {
    "anatomy": _source,
    "contrast phase": itemgetter("phase"),
    "field of view": itemgetter("view"),
    "slice thickness, mm": Ranges("slice_thickness_mm", 2, 3.5),
    "noise, HU": Ranges("noise_hu", 8, 16),
    "artefact": _artefact,
    "gland in the scan, ml": Ranges("pancreas_ml", 30, 60),
    "fat in the gland, share": Ranges("fat_share", 0.05, 0.15),
    "lesion": _lesion,
}
"""What scans are grouped by: name, with unit, and what gives the group of a scan."""


def strata_page(rows: Sequence[Row], facts: Mapping[str, Facts], seed: int = 0) -> str:
    """Return a Markdown table: for each group of each of :data:`PROPERTIES` the scores of the cascade.

    Intervals are of the mean, by bootstrap. Scans without pancreas are left out.

    Args:
        rows: of ``cases.csv``.
        facts: by case.
        seed: of the bootstrap.
    """
    found = [row for row in rows if row["stage"] == "fine" and has_pancreas(row)]
    columns = [name for name in COLUMNS if any(name in row for row in found)]
    lines = [["all", "", *_scores(found, columns, seed)]]
    for name, group_of in PROPERTIES.items():
        groups: dict[str, list[Row]] = {}
        for row in found:
            groups.setdefault(group_of(facts[row["case"]]), []).append(row)
        lines += [[name, group, *_scores(groups[group], columns, seed)] for group in sorted(groups)]
    heading = ["property", "group", "scans"]
    for column in columns:
        heading += [f"{column}: mean ± sd [min, max]", "95 % interval"]
    return markdown_table(heading, lines) + "\n"


def read_facts(data: Path, cases: Sequence[str]) -> dict[str, Facts]:
    """Return what was drawn in each of the cases of a rendered data set.

    Raises:
        InputError: a case has no file in ``data/facts``.
    """
    facts = {}
    for case in dict.fromkeys(cases):
        path = data / "facts" / f"{case}.json"
        if not path.is_file():
            remedy = "Give the folder that `python -m bundle render` wrote and that was scored."
            raise bad_input(path, "a rendered scan has a file of facts", "no such file", remedy)
        facts[case] = json.loads(path.read_text(encoding="utf-8"))
    return facts


def _scores(rows: Sequence[Row], columns: Sequence[str], seed: int) -> list[Any]:
    cells: list[Any] = [len(rows)]
    for column in columns:
        values = [row[column] for row in rows if column in row]
        low, high = bootstrap_interval(values, seed)
        cells += [spread(describe(values)), "–" if math.isnan(low) else f"{low:.3f} to {high:.3f}"]
    return cells
