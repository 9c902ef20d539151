"""The systems side by side: trained for the same time on the same scans, scored on the same held-out scans."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from bundle.errors import bad_input
from bundle.evaluation.markdown import markdown_table
from bundle.evaluation.plot import plot_groups
from bundle.evaluation.summary import describe, has_pancreas, paired_tests, spread
from bundle.evaluation.tables import Row, read_table
from bundle.files import write_text
from bundle.read.datalist import DATASET_FILE, SECTIONS, load_datalist

BUNDLE_ROOT = Path(__file__).parents[2]
CONFIGS = BUNDLE_ROOT / "configs"

PUBLISHED = {
    "xue2019": (71.9, "85.9, with CRF 86.4"),
    "zhao2019": (81.4, "85.99 ± 4.51"),
    "cai2018": (None, "83.7 ± 5.1"),
    "zhu2018": (83.18, "84.59 ± 4.86"),
    "roth2018": (None, "76.8 ± 9.4"),
}
"""Dice in percent on NIH Pancreas-CT that each paper reports, coarse and fine; on other scans than ours."""

_HUGE = 10**6
_CLOCKS = {"wall": "of time on the wall", "processor": "of processor time"}
_COLUMNS = ("coarse", "fine", "fine, true region", "ROI recall", "s localize", "s segment", "peak MB", "parameters, M")


@dataclass(frozen=True)
class Budget:
    """What every stage of every system gets.

    Args:
        minutes: of training, loading included: processor time of all threads, so that other work on the machine takes
            nothing from it; with a GPU, time on the wall.
        threads: of each process.
        scans: of the training set, drawn by chance with a fixed seed: preparing more would use up a small budget. None
            takes all.
    """

    minutes: float
    threads: int
    scans: int | None = None

    @property
    def clock(self) -> str:
        """What measures the minutes, see :class:`~bundle.training.TimeBudget`."""
        return "wall" if torch.cuda.is_available() else "processor"


def compare(
    data: Path,
    output: Path,
    budget: Budget,
    plan: Path = CONFIGS / "compare.json",
    systems: Sequence[str] = (),
    on_step: Callable[[str], None] | None = None,
) -> str:
    """Train and score what is missing, write ``comparison.md`` and ``comparison.png`` to ``output``, return the page.

    Every step is a command of its own, ``python -m monai.bundle run``, with its log beside its results. A step that is
    done is not done again, an interrupted training goes on where it was.

    Args:
        data: Medical Decathlon folder with ``training``, ``validation`` and ``test``.
        output: one folder per system.
        budget: of each stage.
        plan: how all are trained, the systems, and what makes them small enough for the budget, see
            ``configs/compare.json``.
        systems: only these of the plan; the page shows those that are done.
        on_step: called with the name of each step that begins.

    Raises:
        InputError: an unknown system, or a step that fails, with the last line of its log.
    """
    settings = json.loads(plan.read_text())
    known = settings["systems"]
    for name in systems:
        if name not in known:
            raise bad_input("--systems", f"a system is one of {', '.join(known)}", name, "Correct the name.")
    dataset = _draw_training(data.resolve(), output.resolve(), budget.scans)
    for name in systems or known:
        of_system = known[name] | {"train": settings.get("train", {}) | known[name].get("train", {})}
        _run_system(name, of_system, dataset, output.resolve() / name, budget, on_step or _silent)
    rows = {name: read_table(path) for name in known if (path := output / name / "evaluation" / "cases.csv").is_file()}
    page = comparison_page(rows, settings["reference"], {name: _parameters(output / name) for name in rows}, budget)
    fine = {name: [row["dice"] for row in _of_pancreas(cases, "fine")] for name, cases in rows.items()}
    plot_groups(fine, "Dice of the held-out scans", output / "comparison.png")
    write_text(page, output / "comparison.md")
    return page


def comparison_page(
    rows: Mapping[str, Sequence[Row]], reference: str, parameters: Mapping[str, int], budget: Budget
) -> str:
    """Return the tables as Markdown.

    Args:
        rows: of ``cases.csv``, by system.
        reference: the system that the others are compared to, pair by pair.
        parameters: of all networks, by system.
        budget: of each stage.
    """
    systems = [[name, *_cells(cases, parameters[name])] for name, cases in rows.items()]
    others = [name for name in rows if name != reference and reference in rows]
    published = [[name, "–" if coarse is None else coarse, fine] for name, (coarse, fine) in PUBLISHED.items()]
    lines = [
        f"Each stage was trained for {budget.minutes:g} min ({_CLOCKS[budget.clock]})"
        + (f" on {budget.scans} scans" if budget.scans else "")
        + ". Dice: mean ± sd [min, max].",
        "",
        markdown_table(["system", *_COLUMNS], systems),
        "",
        markdown_table(
            [f"{reference} minus", "n", "difference of Dice", "95 % interval", "Wilcoxon p"],
            [_difference(name, rows, reference) for name in others],
        ),
        "",
        "What the papers report on NIH Pancreas-CT, Dice in percent, **theirs, on other scans**:",
        "",
        markdown_table(["system", "coarse", "fine"], published),
    ]
    return "\n".join(lines) + "\n"


def _draw_training(data: Path, output: Path, count: int | None) -> Path:
    """Return ``data``, or a dataset.json in ``output`` with ``count`` of its training scans and one for validation.

    A stage is validated once, when its minutes are over and the weights are saved: nothing depends on the score.
    """
    if count is None:
        return data
    sections = {section: load_datalist(data, section) for section in SECTIONS}
    training = sections["training"]
    chosen = sorted(random.Random(0).sample(range(len(training)), min(count, len(training))))
    sections |= {"training": [training[index] for index in chosen], "validation": sections["validation"][:1]}
    source = data if data.name == DATASET_FILE else data / DATASET_FILE
    drawn = output / DATASET_FILE
    write_text(json.dumps(json.loads(source.read_text()) | sections, indent=4), drawn)
    return drawn


def _run_system(
    name: str, settings: Mapping[str, Any], data: Path, folder: Path, budget: Budget, on_step: Callable[[str], None]
) -> None:
    overlay = [] if name == "default" else [f"system_{name}.json"]
    suffix = "" if name == "default" else f"_{name}"
    everywhere = {"bundle_root": str(BUNDLE_ROOT), "dataset_dir": str(data), "ckpt_dir": str(folder / "models")}
    everywhere |= settings.get("all", {})
    by_the_clock = {"max_minutes": budget.minutes, "minutes_of": budget.clock, "num_workers": 0}
    by_the_clock |= dict.fromkeys(("max_epochs", "val_interval", "patience"), _HUGE)
    training = everywhere | by_the_clock | {"output_dir": str(folder / "training")} | settings.get("train", {})
    # Cai has one stage; its overlay has no localizer to train.
    stages: list[tuple[str, str, list[str]]] = [("segmenter", f"model{suffix}.pt", [])]
    if not _is_single_stage(overlay):
        stages.insert(0, ("localizer", f"model_localizer{suffix}.pt", ["train_localizer.json"]))
    for stage, weights, files in stages:
        if not (folder / "models" / weights).is_file():
            on_step(f"{name}: train the {stage}")
            of_stage = training | settings.get(stage, {})
            _run("training", ["train.json", *files, *overlay], of_stage, folder / f"train_{stage}.log", budget)
    if not (folder / "evaluation" / "cases.csv").is_file():
        on_step(f"{name}: score")
        scoring = everywhere | {"output_dir": str(folder / "evaluation")} | settings.get("infer", {})
        _run("run", ["inference.json", "evaluate.json", *overlay], scoring, folder / "evaluate.log", budget)


def _is_single_stage(overlay: Sequence[str]) -> bool:
    return any(json.loads((CONFIGS / name).read_text()).get("localizer", "") is None for name in overlay)


def _run(run_id: str, files: Sequence[str], overrides: Mapping[str, Any], log: Path, budget: Budget) -> None:
    log.parent.mkdir(parents=True, exist_ok=True)
    arguments = log.with_suffix(".json")
    write_text(json.dumps({"config_file": [str(CONFIGS / name) for name in files], **overrides}, indent=4), arguments)
    command = [sys.executable, "-m", "monai.bundle", "run", run_id, "--args_file", str(arguments)]
    environment = os.environ | {"OMP_NUM_THREADS": str(budget.threads), "PYTHONPATH": str(BUNDLE_ROOT)}
    with log.open("a") as stream:
        done = subprocess.run(command, cwd=log.parent, env=environment, stdout=stream, stderr=subprocess.STDOUT)
    if done.returncode != 0:
        last = log.read_text(errors="replace").strip().splitlines()[-1:]
        rule = "every step of the comparison succeeds"
        raise bad_input(log, rule, " ".join(last), "Read the log, then call it again.")


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


def _difference(name: str, rows: Mapping[str, Sequence[Row]], reference: str) -> list[str]:
    of_reference, of_other = (
        {row["case"]: row["dice"] for row in _of_pancreas(rows[system], "fine")} for system in (reference, name)
    )
    test = paired_tests([of_reference[case] - of_other[case] for case in of_reference if case in of_other])
    interval = f"{test['low_95']:.3f} to {test['high_95']:.3f}"
    return [name, str(test["n"]), f"{test['mean_difference']:+.3f}", interval, f"{test['wilcoxon_p']:.2g}"]


def _parameters(folder: Path) -> int:
    files = (folder / "models").glob("*.pt")
    return sum(value.numel() for path in files for value in torch.load(path, weights_only=True).values())


def _silent(step: str) -> None:
    pass
