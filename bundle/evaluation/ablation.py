"""What each part of a training brings: the segmenter fine-tuned with and without it, scored in three ways."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from bundle.evaluation.fine_tuning import SHIPPED, FineTuning, fine_tuned, scored
from bundle.evaluation.markdown import markdown_table
from bundle.evaluation.nih_slices import Settings, dice_by_patient, run_fold
from bundle.evaluation.real_ct import CASES, evaluate_real_ct
from bundle.evaluation.steps import CONFIGS, Budget, check_names, silent
from bundle.evaluation.summary import describe, dice_by_case, paired_tests, spread
from bundle.evaluation.tables import read_table, write_table
from bundle.files import write_text
from bundle.read.slices import read_slices

START = "start"
REAL_SLICES = "train_real_slices.json"
_LAST = "slices/slices.csv"  # of a variant that is done
SCANS = tuple(case.name for case in CASES if case.label is not None)


@dataclass(frozen=True)
class Scores:
    """Dice of one variant.

    Args:
        rendered: by rendered scan.
        scans: by real scan with a label.
        patients: by patient of the real slices that no variant has learned from.
    """

    rendered: Mapping[str, float]
    scans: Mapping[str, float]
    patients: Mapping[str, float]


def ablation(
    data: Path,
    real: Path,
    output: Path,
    budget: Budget,
    plan: Path = CONFIGS / "ablation.json",
    variants: Sequence[str] = (),
    fold: int = 0,
    checkpoint: Path = SHIPPED,
    on_step: Callable[[str], None] = silent,
) -> str:
    """Train and score what is missing, write ``ablation.md`` to ``output``, return the page.

    All variants begin with the same weights; the row ``start`` is those as they are. Called again it goes on where it
    stopped.

    Args:
        data: Medical Decathlon folder with ``training``, and ``validation``, on which the variants are scored.
        real: folder of the real scans and slices.
        output: one folder per variant.
        budget: of each fine-tuning; its ``scans`` doesn't count.
        plan: the variants, see ``configs/ablation.json``: ``files`` of the bundle's configs and an ``overlay`` on top.
        variants: only these of the plan; the page shows those that are done.
        fold: of the real slices' patients, kept for the scores.
        checkpoint: weights to begin with. They must not have learned from the fold's slices.
        on_step: called with the name of each step that begins.

    Raises:
        InputError: an unknown variant, no real data, or a step that fails.
    """
    settings = json.loads(plan.read_text())
    known = {START: {}} | settings["variants"]
    check_names("--variants", "variant", variants, known)
    data, real, output = data.resolve(), real.resolve(), output.resolve()
    scores = {}
    for name in known:
        folder = output / name.replace(" ", "_")
        way = FineTuning(
            name,
            folder,
            None if name == START else data,
            budget,
            settings["learning_rate"],
            known[name].get("files", ()),
            known[name].get("overlay", {}) | _slices(known[name], real, fold),
            output / "cache",
            checkpoint.resolve(),
        )
        if not variants or name in variants or (folder / _LAST).is_file():
            scores[name] = _scores(way, data, real, fold, on_step)
    page = ablation_page(scores, settings["reference"], str(budget))
    write_text(page, output / "ablation.md")
    return page


def ablation_page(scores: Mapping[str, Scores], reference: str, budget: str) -> str:
    """Return Markdown: the scores of each variant, and its paired difference from the reference.

    Args:
        scores: by variant.
        reference: the variant that the others are compared to.
        budget: of each fine-tuning, in words.
    """
    lines = []
    for name, found in scores.items():
        cells = [name, spread(describe(list(found.rendered.values())))]
        cells += [_difference(name, reference, {key: item.rendered for key, item in scores.items()})]
        cells += [f"{found.scans[case]:.3f}" if case in found.scans else "–" for case in SCANS]
        cells += [spread(describe(list(found.patients.values())))]
        cells += [_difference(name, reference, {key: item.patients for key, item in scores.items()})]
        lines.append(cells)
    minus = f"minus {reference}"
    heading = ["variant", "rendered scans", minus, *SCANS, "real slices, by patient", minus]
    first = next(iter(scores.values()))
    intro = (
        f"Dice, mean ± sd [min, max], of {len(first.rendered)} rendered scans, {len(SCANS)} real ones and the slices "
        f"of {len(first.patients)} patients; differences with 95 % intervals. Each fine-tuning took {budget}."
    )
    return f"{intro}\n\n{markdown_table(heading, lines)}\n"


def _scores(way: FineTuning, data: Path, real: Path, fold: int, on_step: Callable[[str], None]) -> Scores:
    weights = fine_tuned(way, on_step)
    rendered = dice_by_case(scored(way, weights, data, on_step, "validation"))
    on_step(f"{way.name}: score on real scans and slices")
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    settings = Settings(fold=fold, epochs=0, network="segmenter", checkpoint=str(weights))
    slices = run_fold(read_slices(real), settings, way.folder / "slices", device)
    return Scores(rendered, _real_scans(weights, real, way.folder / "real_ct"), dice_by_patient(slices))


def _real_scans(weights: Path, real: Path, folder: Path) -> dict[str, float]:
    table = folder / "dice.csv"
    if not table.is_file():
        rows = [row for row in evaluate_real_ct(real, folder, checkpoint=weights) if "dice" in row]
        write_table(({name: row[name] for name in ("case", "dice")} for row in rows), ("case", "dice"), table)
    return {row["case"]: row["dice"] for row in read_table(table)}


def _slices(variant: Mapping[str, Any], real: Path, fold: int) -> dict[str, Any]:
    """Where the real slices are and which are left out, of a variant that learns from them."""
    return {"slices_dir": str(real), "test_fold": fold} if REAL_SLICES in variant.get("files", ()) else {}


def _difference(name: str, reference: str, dice: Mapping[str, Mapping[str, float]]) -> str:
    if name == reference or reference not in dice:
        return "–"
    test = paired_tests([dice[name][case] - dice[reference][case] for case in dice[reference]])
    return f"{test['mean_difference']:+.3f} ({test['low_95']:+.3f} to {test['high_95']:+.3f})"
