"""Opinions and true Dice of scans whose truth is known: what the quality score is fitted on and measured with."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from bundle.cascade.report import CascadeReport
from bundle.errors import InputError, bad_input
from bundle.evaluation.tables import write_table
from bundle.quality.opinions import OPINIONS, dice
from bundle.read import case_name, load_datalist, read_label

TEXT_COLUMNS = ("case", "patient", "outcome", "phase")
FACTS = ("phase", "slice_thickness_mm", "noise_hu")
COLUMNS = (*TEXT_COLUMNS, "slice_thickness_mm", "noise_hu", "label_ml", "dice", *OPINIONS)


def score_scans(
    data: Path,
    section: str,
    output: Path,
    device: str = "auto",
    on_scan: Callable[[Mapping[str, Any]], None] | None = None,
    on_problem: Callable[[InputError], None] | None = None,
) -> list[dict[str, Any]]:
    """Segment the labelled scans of a data set and return a row for each, with :data:`COLUMNS`.

    Scans that ``output`` names already are not segmented again, so that several data sets can go into one table. A scan
    that cannot be read is left out.

    Args:
        data: folder with dataset.json; what rendering noted of a scan in ``facts`` joins its row.
        section: ``training``, ``validation`` or ``test``.
        output: CSV, written anew after each scan.
        device: ``auto``, ``cpu`` or ``cuda``.
        on_scan: called with each new row.
        on_problem: called with what is wrong with a scan that is left out.

    Raises:
        InputError: what :func:`~bundle.read.load_datalist` raises.
    """
    # Imported here: fitting needs no networks.
    from bundle.segmentation import Segmenter

    rows = read_rows(output) if output.is_file() else []
    known = {row["case"] for row in rows}
    cases = [case for case in load_datalist(data, section) if case_name(case["image"]) not in known]
    segmenter = Segmenter(device=device) if cases else None
    for case in cases:
        assert segmenter is not None
        try:
            result, label = segmenter(case["image"]), read_label(case["label"])
        except InputError as error:
            if on_problem is not None:
                on_problem(error)
            continue
        found, truth = result.mask.numpy()[0] > 0, label.numpy()[0] == 1
        row = {
            "case": case_name(case["image"]),
            "patient": case["patient"],
            "outcome": result.outcome,
            **_facts(data, case_name(case["image"])),
            "label_ml": int(truth.sum()) * abs(float(result.mask.affine[:3, :3].det())) / 1000,
            "dice": dice(found, truth),
            **CascadeReport.from_json(result.mask.meta["cascade"]).opinions,
        }
        rows.append(row)
        write_table(rows, COLUMNS, output)
        if on_scan is not None:
            on_scan(row)
    return rows


def read_rows(path: Path) -> list[dict[str, Any]]:
    """Return the rows of a table that :func:`score_scans` wrote; an empty cell is None.

    Raises:
        InputError: it cannot be read, or a column is missing.
    """
    try:
        with path.open(newline="", encoding="utf-8") as file:
            rows = [{name: _value(name, text) for name, text in row.items()} for row in csv.DictReader(file)]
        missing = [name for name in ("case", "dice", *OPINIONS) if rows and name not in rows[0]]
        if missing:
            raise ValueError(f"no column {', '.join(missing)}")
    except (OSError, ValueError) as error:
        raise bad_input(path, "a table of scored scans can be read", str(error), "Score the scans again.") from error
    return rows


def with_mask(rows: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Return the rows of scans in which a mask was found: of the others there is nothing to predict."""
    return [row for row in rows if row["volume_ml"]]


def _facts(data: Path, case: str) -> dict[str, Any]:
    path = data / "facts" / f"{case}.json"
    if not path.is_file():
        return {}
    facts = json.loads(path.read_text(encoding="utf-8"))
    return {name: facts[name] for name in FACTS if name in facts}


def _value(name: str, text: str) -> Any:
    if text == "":
        return None
    return text if name in TEXT_COLUMNS else float(text)
