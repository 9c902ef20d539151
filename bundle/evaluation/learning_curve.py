"""What a user's own scans bring: the shipped segmenter fine-tuned on more and more of them, scored on others."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from bundle.errors import bad_input
from bundle.evaluation.compare import Budget
from bundle.evaluation.markdown import markdown_table
from bundle.evaluation.plot import plot_groups
from bundle.evaluation.steps import BUNDLE_ROOT, ENDLESS, draw_training, run_step, silent
from bundle.evaluation.summary import describe, has_pancreas, paired_tests, spread
from bundle.evaluation.tables import Row, read_table
from bundle.files import write_text
from bundle.read.datalist import load_datalist

COUNTS = (0, 2, 5, 10, 20)
LEARNING_RATE = 1e-4
PICTURE = "learning_curve.png"


def learning_curve(
    data: Path,
    output: Path,
    budget: Budget,
    counts: Sequence[int] = COUNTS,
    learning_rate: float = LEARNING_RATE,
    on_step: Callable[[str], None] = silent,
) -> str:
    """Fine-tune the shipped segmenter on each number of scans, score the cascade; return the page.

    Every number of scans gets the same time, and those of a smaller number are among those of a larger one; 0 are the
    shipped weights. The localizer stays as it is. Writes ``learning_curve.md`` and ``learning_curve.png`` to
    ``output``. Called again it goes on where it stopped.

    Args:
        data: Medical Decathlon folder with ``training``, ``validation`` and ``test``.
        output: one folder for each number of scans.
        budget: of each fine-tuning; its ``scans`` doesn't count.
        counts: numbers of scans.
        learning_rate: at first, falling to 0.
        on_step: called with the name of each step that begins.

    Raises:
        InputError: fewer training scans than the largest count, or a step that fails.
    """
    data, output = data.resolve(), output.resolve()
    available = len(load_datalist(data, "training"))
    if max(counts) > available:
        rule, remedy = f"it has {max(counts)} training scans", "Give more scans, or smaller --counts."
        raise bad_input(data, rule, available, remedy)
    rows = {count: _of_count(count, data, output, budget, learning_rate, on_step) for count in counts}
    plot_groups({f"{n}_scans": list(_dice(cases).values()) for n, cases in rows.items()}, "Dice", output / PICTURE)
    page = curve_page(rows, str(budget))
    write_text(page, output / "learning_curve.md")
    return page


def curve_page(rows: Mapping[int, Sequence[Row]], budget: str) -> str:
    """Return Markdown: Dice by number of scans, and the paired difference from the smallest number.

    Args:
        rows: of ``cases.csv``, by number of scans.
        budget: of each fine-tuning, in words.
    """
    first, *others = sorted(rows)
    before = _dice(rows[first])
    lines = [[first, spread(describe(list(before.values()))), "–", "–", "–"]]
    for count in others:
        after = _dice(rows[count])
        test = paired_tests([after[case] - before[case] for case in before if case in after])
        interval = f"{test['low_95']:+.3f} to {test['high_95']:+.3f}"
        difference = f"{test['mean_difference']:+.3f}"
        lines.append([count, spread(describe(list(after.values()))), difference, interval, f"{test['wilcoxon_p']:.2g}"])
    heading = ["scans", "Dice: mean ± sd [min, max]", f"minus {first} scans", "95 % interval", "Wilcoxon p"]
    intro = f"{len(before)} test scans; each fine-tuning took {budget}."
    return f"{intro}\n\n{markdown_table(heading, lines)}\n\n![Dice by number of scans]({PICTURE})\n"


def _of_count(
    count: int, data: Path, output: Path, budget: Budget, learning_rate: float, on_step: Callable[[str], None]
) -> list[Row]:
    folder = output / f"{count}_scans"
    shipped = BUNDLE_ROOT / "models" / "model.pt"
    weights = folder / "models" / "model.pt" if count else shipped
    everywhere = {"bundle_root": str(BUNDLE_ROOT), "dataset_dir": str(data)}
    if not weights.is_file():
        on_step(f"{count} scans: fine-tune")
        training = ENDLESS | everywhere | {"checkpoint": str(shipped), "learning_rate": learning_rate}
        training |= {"dataset_dir": str(draw_training(data, folder, count)), "ckpt_dir": str(weights.parent)}
        training |= {"output_dir": str(folder / "training"), "num_workers": 0}
        training |= {"max_minutes": budget.minutes, "minutes_of": budget.clock}
        run_step("training", ["train.json"], training, folder / "train.log", budget.threads)
    cases = folder / "evaluation" / "cases.csv"
    if not cases.is_file():
        on_step(f"{count} scans: score")
        scoring = everywhere | {"checkpoint": str(weights), "output_dir": str(cases.parent)}
        run_step("run", ["inference.json", "evaluate.json"], scoring, folder / "evaluate.log", budget.threads)
    return list(read_table(cases))


def _dice(rows: Sequence[Row]) -> dict[str, float]:
    return {row["case"]: row["dice"] for row in rows if row["stage"] == "fine" and has_pancreas(row)}
