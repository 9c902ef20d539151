"""What a user's own scans bring: the shipped segmenter fine-tuned on more and more of them, scored on others."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from bundle.errors import bad_input
from bundle.evaluation.fine_tuning import FineTuning, fine_tuned, scored
from bundle.evaluation.markdown import markdown_table
from bundle.evaluation.plot import plot_groups
from bundle.evaluation.steps import Budget, draw_training, silent
from bundle.evaluation.summary import describe, dice_by_case, paired_tests, spread
from bundle.evaluation.tables import Row
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
    dice = {f"{count}_scans": list(dice_by_case(cases).values()) for count, cases in rows.items()}
    plot_groups(dice, "Dice", output / PICTURE)
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
    before = dice_by_case(rows[first])
    lines = [[first, spread(describe(list(before.values()))), "–", "–", "–"]]
    for count in others:
        after = dice_by_case(rows[count])
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
    drawn = draw_training(data, folder, count) if count else None
    way = FineTuning(f"{count} scans", folder, drawn, budget, learning_rate)
    return scored(way, fine_tuned(way, on_step), data, on_step)
