"""Handler that turns what :class:`~bundle.evaluation.evaluator.CascadeEvaluator` gives into tables and a plot."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from pathlib import Path, PurePath
from typing import Any

import numpy as np
import torch.distributed as dist
from ignite.engine import Engine, Events
from monai.data import MetaTensor, decollate_batch
from monai.utils.enums import CommonKeys
from torch import Tensor

from bundle.cascade.report import NOT_FOUND, OK, CascadeReport
from bundle.errors import bad_input
from bundle.evaluation.evaluator import PRED_KEYS, REPORT_KEYS
from bundle.evaluation.metrics import case_metrics, vessel_metrics
from bundle.evaluation.page import evaluation_page
from bundle.evaluation.plot import plot_cases
from bundle.evaluation.region import region_metrics
from bundle.evaluation.show import summary_text
from bundle.evaluation.summary import compare_stages, summarise
from bundle.evaluation.tables import (
    COMPARISON_COLUMNS,
    STAGES,
    SUMMARY_COLUMNS,
    Row,
    case_columns,
    write_table,
)
from bundle.files import write_text
from bundle.preprocess import grid_of

CASES_FILE = "cases.csv"
SUMMARY_FILE = "summary.csv"
COMPARISON_FILE = "comparison.csv"
PLOT_FILE = "dice.png"
PAGE_FILE = "evaluation.md"

VESSELS = "portal_veins"
"""Class of portal, splenic and superior mesenteric vein, which touch the pancreas."""

Key = tuple[str, str]
"""Source of a scan and stage."""

logger = logging.getLogger(__name__)


class TableWriter:
    """Score every scan as it is finished, and sum up at the end.

    Writes into ``output_dir``: ``cases.csv`` (a row per case and stage, rewritten after every scan, so that an
    evaluation which is killed keeps its finished rows) and, at the end, ``summary.csv``, ``comparison.csv``,
    ``dice.png`` and ``evaluation.md``, the tables of a page.
    With several processes each keeps its own ``cases_rank<N>.csv`` until the first one writes the tables of all.

    Args:
        output_dir: made if it is missing.
        value: label value of the organ.
        threshold: least probability of the organ, 0.5 being in.
        seed: of the bootstrap.
        classes: of the labels, by value; where a truth has :data:`VESSELS`, their share in the mask is told.
    """

    def __init__(
        self,
        output_dir: str | Path,
        value: int = 1,
        threshold: float = 0.5,
        seed: int = 0,
        classes: Sequence[str] = (),
    ) -> None:
        self.output_dir = Path(output_dir)
        self.value = value
        self.threshold = threshold
        self.seed = seed
        self.vessel_value = classes.index(VESSELS) if VESSELS in classes else None
        self.rows: dict[Key, Row] = {}

    def attach(self, engine: Engine) -> None:
        """Register with the evaluator's events."""
        engine.add_event_handler(Events.STARTED, self.start)
        engine.add_event_handler(Events.ITERATION_COMPLETED, self.add_scans)
        engine.add_event_handler(Events.COMPLETED, self.finish)

    def start(self, engine: Engine) -> None:
        """Forget the rows of an earlier run."""
        self.rows = {}

    def add_scans(self, engine: Engine) -> None:
        """Score the scans in ``engine.state.output`` and write the per-case table anew."""
        for scan in _scans(engine.state.output):
            source = _source(scan[CommonKeys.IMAGE], default=f"case_{engine.state.iteration:04d}")
            for row in self._score(scan, source):
                self.rows[source, row["stage"]] = row
        rows = _named(self.rows)
        write_table(rows, case_columns(rows), self._cases_file(_rank()))

    def finish(self, engine: Engine) -> None:
        """Write summary, comparison and plot of the scans of all processes."""
        gathered = _gather(self.rows)
        if _rank() == 0:
            rows = _named(gathered)
            summary, comparison = summarise(rows), compare_stages(rows, seed=self.seed)
            write_table(rows, case_columns(rows), self._cases_file(0))
            write_table(summary, SUMMARY_COLUMNS, self.output_dir / SUMMARY_FILE)
            write_table(comparison, COMPARISON_COLUMNS, self.output_dir / COMPARISON_FILE)
            plot_cases(rows, self.output_dir / PLOT_FILE)
            write_text(evaluation_page(rows, self.seed), self.output_dir / PAGE_FILE)
            logger.info("%s\n%s", self.output_dir, summary_text(summary, comparison))
        else:
            self._cases_file(_rank()).unlink(missing_ok=True)

    def _score(self, scan: dict[str, Any], source: str) -> Iterable[Row]:
        label = scan.get(CommonKeys.LABEL)
        if label is None:
            raise bad_input(source, "a scan to evaluate on has a label", "none", "Name it in dataset.json.")
        spacing_mm = grid_of(label).spacing_mm
        values = label.as_tensor()[0].cpu().numpy()
        truth = values == self.value
        vessels = values == self.vessel_value if self.vessel_value else np.zeros_like(truth)
        for stage in STAGES:
            if PRED_KEYS[stage] in scan:
                report: CascadeReport = scan[REPORT_KEYS[stage]]
                pred = (scan[PRED_KEYS[stage]][0] >= self.threshold).cpu().numpy()
                has_region = stage in ("fine", "fine_true_region")
                yield {
                    "stage": stage,
                    "outcome": _coarse_outcome(pred) if stage == "coarse" else report.outcome,
                    **case_metrics(pred, truth, spacing_mm),
                    **vessel_metrics(pred, vessels),
                    **(region_metrics(report.boxes, truth) if has_region else {}),
                    **_cost(report, stage),
                }

    def _cases_file(self, rank: int) -> Path:
        path = self.output_dir / CASES_FILE
        return path if rank == 0 else path.with_stem(f"{path.stem}_rank{rank}")


def _scans(output: Any) -> list[dict[str, Any]]:
    """One dictionary per scan, also of a batch of one that was not taken apart."""
    if isinstance(output, list):
        return output
    return [{key: decollate_batch(value)[0] if isinstance(value, Tensor) else value for key, value in output.items()}]


def _coarse_outcome(pred: np.ndarray) -> str:
    """The report tells of the whole cascade; what it says of the localizer alone is only its mask."""
    return OK if pred.any() else NOT_FOUND


def _cost(report: CascadeReport, stage: str) -> dict[str, float]:
    """Seconds by step and their sum, and the peak memory, which is known of the cascade but not of a part of it."""
    if stage == "coarse":
        seconds = report.seconds.get("localize")
        return {} if seconds is None else {"seconds_localize": seconds, "seconds_total": seconds}
    return {
        **{f"seconds_{step}": seconds for step, seconds in report.seconds.items()},
        "seconds_total": sum(report.seconds.values()),
        "peak_memory_mb": report.peak_memory_mb,
    }


def _source(image: MetaTensor, default: str) -> str:
    source = image.meta.get("filename_or_obj", default)
    return str(source[0] if isinstance(source, list | tuple) else source)


def _named(rows: dict[Key, Row]) -> list[Row]:
    """Rows by name of the case: as few of the last parts of its path as tell all cases apart, without suffix."""
    paths = {source: PurePath(source).parts for source, _ in rows}
    depth = 1
    while len({parts[-depth:] for parts in paths.values()}) < len(paths):
        depth += 1
    names = {source: "/".join(parts[-depth:]) for source, parts in paths.items()}
    return [{"case": _without_suffix(names[source]), **row} for (source, _), row in rows.items()]


def _without_suffix(name: str) -> str:
    return name.removesuffix(".gz").removesuffix(".nii")


def _rank() -> int:
    return dist.get_rank() if dist.is_available() and dist.is_initialized() else 0


def _gather(rows: dict[Key, Row]) -> dict[Key, Row]:
    """Rows of all processes; a scan that several have, because a sampler filled up its share, counts once."""
    if not (dist.is_available() and dist.is_initialized()):
        return rows
    everyone: list[Any] = [None] * dist.get_world_size()
    dist.all_gather_object(everyone, rows)
    return {key: row for part in everyone for key, row in part.items()}
