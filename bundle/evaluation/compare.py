"""The systems side by side: trained for the same time on the same scans, scored on the same held-out scans."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from bundle.evaluation.comparison_page import STAGES, Trained, comparison_parts, draw_comparison
from bundle.evaluation.markdown import fill_in
from bundle.evaluation.steps import (
    BUNDLE_ROOT,
    CONFIGS,
    ENDLESS,
    Budget,
    check_names,
    draw_training,
    is_scored,
    run_step,
    score,
    silent,
)
from bundle.evaluation.tables import Row, read_table
from bundle.files import write_text

SCORES = "evaluation"
"""Folder of a system's scores; those of a variant have its name behind."""


def compare(
    data: Path,
    output: Path,
    budget: Budget,
    plan: Path = CONFIGS / "compare.json",
    systems: Sequence[str] = (),
    page: Path | None = None,
    on_step: Callable[[str], None] = silent,
) -> str:
    """Train and score what is missing, write ``comparison.md`` and its pictures to ``output``, return the page.

    Every step is a command of its own, ``python -m monai.bundle run``, with its log beside its results. A step that is
    done is not done again, an interrupted training goes on where it was.

    Args:
        data: Medical Decathlon folder with ``training``, ``validation`` and ``test``.
        output: one folder per system.
        budget: of each stage.
        plan: how all are trained, the systems, what makes them small enough for the budget, and the variants of which
            the same weights are scored again, see ``configs/compare.json``.
        systems: only these of the plan; the page shows those that are done.
        page: a page whose tables are replaced, too, see :func:`~bundle.evaluation.markdown.fill_in`; the pictures go
            to the folder ``images`` beside it.
        on_step: called with the name of each step that begins.

    Raises:
        InputError: an unknown system, or a step that fails, with the last line of its log.
    """
    settings = json.loads(plan.read_text())
    known = settings["systems"]
    check_names("--systems", "system", systems, known)
    data, output = data.resolve(), output.resolve()
    dataset = data if budget.scans is None else draw_training(data, output, budget.scans)
    for name in systems or known:
        of_system = known[name] | {"train": settings.get("train", {}) | known[name].get("train", {})}
        _run_system(name, of_system, dataset, output / name, budget, on_step)
    rows = {name: cases for name in known if (cases := _scores(output / name / SCORES))}
    variants = {
        name: {variant: cases for variant in of_system if (cases := _scores(output / name / f"{SCORES}_{variant}"))}
        for name in rows
        if (of_system := known[name].get("variants"))
    }
    trained = {name: _trained(output / name, _suffix(name)) for name in rows}
    parts = comparison_parts(rows, variants, settings["reference"], trained, str(budget))
    draw_comparison(rows, output)
    if page is not None:
        fill_in(page, parts)
        draw_comparison(rows, page.parent / "images")
    text = "\n\n".join(parts.values()) + "\n"
    write_text(text, output / "comparison.md")
    return text


def _run_system(
    name: str, settings: Mapping[str, Any], data: Path, folder: Path, budget: Budget, on_step: Callable[[str], None]
) -> None:
    overlay = [] if name == "default" else [f"system_{name}.json"]
    suffix = _suffix(name)
    everywhere = {"bundle_root": str(BUNDLE_ROOT), "dataset_dir": str(data), "ckpt_dir": str(folder / "models")}
    everywhere |= settings.get("all", {})
    by_the_clock = ENDLESS | {"max_minutes": budget.minutes, "minutes_of": budget.clock, "num_workers": 0}
    training = everywhere | by_the_clock | {"output_dir": str(folder / "training")} | settings.get("train", {})
    # Cai has one stage; its overlay has no localizer to train.
    stages: list[tuple[str, str, list[str]]] = [("segmenter", f"model{suffix}.pt", [])]
    if not _is_single_stage(overlay):
        stages.insert(0, ("localizer", f"model_localizer{suffix}.pt", ["train_localizer.json"]))
    for stage, weights, files in stages:
        if not (folder / "models" / weights).is_file():
            on_step(f"{name}: train the {stage}")
            of_stage = training | settings.get(stage, {})
            log = folder / f"train_{stage}.log"
            run_step("training", ["train.json", *files, *overlay], of_stage, log, budget.threads)
    for variant, overrides in {"": {}, **settings.get("variants", {})}.items():
        ending = f"_{variant}" if variant else ""
        if not is_scored(folder / f"{SCORES}{ending}"):
            on_step(f"{name}: score {variant}".rstrip())
            log = folder / f"evaluate{ending}.log"
            score(overlay, everywhere | overrides, folder / f"{SCORES}{ending}", log, budget.threads)


def _scores(folder: Path) -> Sequence[Row]:
    """Return the rows of a complete evaluation, none of another."""
    return read_table(folder / "cases.csv") if is_scored(folder) else []


def _is_single_stage(overlay: Sequence[str]) -> bool:
    return any(json.loads((CONFIGS / name).read_text()).get("localizer", "") is None for name in overlay)


def _suffix(name: str) -> str:
    """Return what the names of a system's files end with, ``suffix`` of the configurations."""
    return "" if name == "default" else f"_{name}"


def _trained(folder: Path, suffix: str) -> Trained:
    weights = (folder / "models").glob("*.pt")
    states = {stage: folder / "training" / f"{stage}_resume{suffix}.pt" for stage in STAGES}
    return Trained(
        sum(value.numel() for path in weights for value in torch.load(path, weights_only=True).values()),
        {
            stage: torch.load(path, map_location="cpu", weights_only=True)["trainer"]["iteration"]
            for stage, path in states.items()
            if path.is_file()
        },
    )
