"""``python -m bundle segment``: many scans, one progress bar, one table, and no scan that stops the others."""

from __future__ import annotations

import logging
import traceback
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.logging import RichHandler
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Table

from bundle.errors import InputError, bad_input
from bundle.read import find_scans
from bundle.segment import Segmenter
from bundle.write import failure_report, mask, montage, report, write_report

ALL_FINE, BAD_INPUT, FLAGGED = 0, 2, 3

LOG_NAME = "errors.log"

_FILE_NAMES = (mask.FILE_NAME, montage.FILE_NAME, report.FILE_NAME)

_STYLES = {"ok": "green", "not_found": "yellow"}


@dataclass(frozen=True)
class Row:
    """A line of the closing table."""

    case: str
    outcome: str
    volume_ml: float | None = None
    seconds: float | None = None
    reason: str = ""


def run(inputs: Sequence[Path], output: Path, device: str, overwrite: bool) -> int:
    """Segment all scans of all inputs into ``output`` and return the exit code.

    Raises:
        InputError: nothing was started, because results are there already, or the networks cannot be loaded.
    """
    messages = Console(stderr=True)
    with _quiet_logging(messages):
        scans, rows = _collect(inputs, messages)
        _check_output(output, [scan["case"] for scan in scans], overwrite)
        if scans:
            segmenter = Segmenter(output, device)
            rows += [row for row in _segment_all(segmenter, scans, output, messages)]
    _print_table(rows, output)
    return exit_code([row.outcome for row in rows])


def exit_code(outcomes: Sequence[str]) -> int:
    """Return 0 if all are ``ok``, 2 if all are ``invalid_input``, else 3."""
    if all(outcome == "ok" for outcome in outcomes):
        return ALL_FINE
    return BAD_INPUT if all(outcome == "invalid_input" for outcome in outcomes) else FLAGGED


def _collect(inputs: Sequence[Path], messages: Console) -> tuple[list[dict[str, str]], list[Row]]:
    """Return the scans of all inputs, each case name once, and a row for each input that holds none."""
    scans: list[dict[str, str]] = []
    rows = []
    used: set[str] = set()
    for path in inputs:
        try:
            found = find_scans(path)
        except InputError as error:
            _say(messages, str(error))
            rows.append(Row(path.name or str(path), "invalid_input", reason=str(error)))
            continue
        for scan in found:
            case, number = scan["case"], 2
            while case in used:
                case, number = f"{scan['case']}_{number}", number + 1
            used.add(case)
            scans.append({**scan, "case": case})
    return scans, rows


def _check_output(output: Path, cases: Sequence[str], overwrite: bool) -> None:
    if output.exists() and not output.is_dir():
        raise bad_input(output, "the output is a folder", "a file", "Give another --output.")
    there = [case for case in cases if _files_of(output / case)]
    if there and not overwrite:
        received = f"results of {', '.join(there[:3])}" + (f" and {len(there) - 3} more" if len(there) > 3 else "")
        raise bad_input(output, "no result is replaced unasked", received, "Give --overwrite or another --output.")


def _segment_all(
    segmenter: Segmenter, scans: Sequence[dict[str, str]], output: Path, messages: Console
) -> Iterator[Row]:
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, TimeRemainingColumn(), console=messages) as progress:
        task = progress.add_task("segmenting", total=len(scans))
        for scan in scans:
            progress.update(task, description=escape(scan["case"]))
            yield _segment_one(segmenter, scan, output, messages)
            progress.advance(task)
        progress.update(task, description="done")


def _segment_one(segmenter: Segmenter, scan: dict[str, str], output: Path, messages: Console) -> Row:
    case, folder = scan["case"], output / scan["case"]
    _remove_files(folder)  # asked for with --overwrite: a scan that fails must not keep an older mask
    try:
        result = segmenter(scan["image"], case)
    except InputError as error:
        outcome, reason = "invalid_input", str(error)
    except Exception as error:  # whatever is wrong with one scan, the others go on
        outcome, reason = "failed", f"{scan['image']}: {type(error).__name__}: {_first_line(error)}"
        _log_traceback(output, case)
        reason += f". The traceback is in {output / LOG_NAME}."
    else:
        return Row(case, result.outcome, result.volume_ml, result.seconds, result.reason)
    _say(messages, reason)
    _remove_files(folder)
    write_report(failure_report(case, scan["image"], outcome, reason), folder / report.FILE_NAME)
    return Row(case, outcome, reason=reason)


def _files_of(folder: Path) -> list[Path]:
    """Return the results in a case's folder, which may hold other things: it may be the folder of the scan itself."""
    return [folder / name for name in _FILE_NAMES if (folder / name).exists()]


def _remove_files(folder: Path) -> None:
    for path in _files_of(folder):
        path.unlink()


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [""])[0]


def _log_traceback(output: Path, case: str) -> None:
    output.mkdir(parents=True, exist_ok=True)
    with (output / LOG_NAME).open("a", encoding="utf-8") as log:
        log.write(f"{case}\n{traceback.format_exc()}\n")


def _say(messages: Console, text: str) -> None:
    messages.print(f"error: {text}", style="red", markup=False, highlight=False, soft_wrap=True)


def _print_table(rows: Sequence[Row], output: Path) -> None:
    table = Table("case", "outcome", caption=f"results in {escape(str(output))}", caption_justify="left")
    table.add_column("volume ml", justify="right")
    table.add_column("seconds", justify="right")
    for row in rows:
        style = _STYLES.get(row.outcome, "red")
        volume = "" if row.volume_ml is None else f"{row.volume_ml:.1f}"
        seconds = "" if row.seconds is None else f"{row.seconds:.1f}"
        table.add_row(escape(row.case), f"[{style}]{row.outcome}[/{style}]", volume, seconds)
    console = Console()
    console.print(table)
    for row in rows:
        if row.reason and row.volume_ml is not None:
            console.print(f"{row.case}: {row.reason}", markup=False, highlight=False, soft_wrap=True)


@contextmanager
def _quiet_logging(messages: Console) -> Iterator[None]:
    """Show what the bundle logs above the progress bar; hide the libraries' warnings, which users cannot act on."""
    handler = RichHandler(console=messages, show_path=False, show_time=False, show_level=False)
    logger = logging.getLogger("bundle")
    logger.addHandler(handler)
    propagate, logger.propagate = logger.propagate, False
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            yield
        finally:
            logger.removeHandler(handler)
            logger.propagate = propagate
