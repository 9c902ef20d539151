"""``python -m bundle segment``: many scans, a closing table, and no scan that stops the others."""

from __future__ import annotations

import logging
import time
import traceback
import warnings
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock, Timeout
from rich.console import Console
from rich.logging import RichHandler

from bundle.clicks import parse_click
from bundle.errors import InputError, bad_input, printable
from bundle.files import make_folder
from bundle.segmentation.configuration import DEFAULT_SYSTEM
from bundle.segmentation.progress import Bars
from bundle.segmentation.result_key import finished_report, remove_results, remove_unfinished, result_files
from bundle.segmentation.segmenter import Segmenter
from bundle.segmentation.study import Study, anonymous, find_inputs, with_clicks
from bundle.segmentation.table import NOT_DONE, SKIPPED, Row, print_table
from bundle.write import failure_report, report, write_report
from bundle.write.html import index_page, report_page

ALL_FINE, BAD_INPUT, FLAGGED, INTERRUPTED = 0, 2, 3, 130

LOG_NAME = "errors.log"
LOCK_NAME = ".running.lock"


@dataclass(frozen=True)
class Options:
    """What is asked of a run.

    Attributes:
        output: folder for the results.
        system: whose networks.
        device: ``auto``, ``cpu`` or ``cuda``.
        save_probabilities: also write them.
        pages: write the picture and the page.
        resume: keep results that are complete and were made from the same scan, weights and settings.
        overwrite: replace results that are there.
        anonymize: nothing of the patient, nor names of files, in results.
        foreground: clicks, ``x,y,z`` in voxels, if there is one study.
        background: likewise.
    """

    output: Path
    system: str = DEFAULT_SYSTEM
    device: str = "auto"
    save_probabilities: bool = False
    pages: bool = True
    resume: bool = False
    overwrite: bool = False
    anonymize: bool = False
    foreground: Sequence[str] = ()
    background: Sequence[str] = ()


def run(paths: Sequence[Path], options: Options) -> int:
    """Segment all scans below all paths and return the exit code.

    Raises:
        InputError: nothing was started, because results are there already, the networks cannot be loaded, or clicks
            are given that cannot be read, or for several studies.
    """
    messages = Console(stderr=True)
    with _quiet_logging(messages), ExitStack() as archives:
        inputs = find_inputs(paths, options.output, archives)
        for _, reason in inputs.refused:
            _say(messages, reason)
        studies = _clicked(anonymous(inputs.studies) if options.anonymize else inputs.studies, options)
        _make_output(options)
        archives.enter_context(_alone_in(options.output))
        _check_results(options, studies)
        if options.anonymize:
            _tell_names(inputs.studies, studies, messages)
        rows = _segment_all(studies, options, messages) if studies else []
    refused = [Row(name, "invalid_input", reason=reason) for name, reason in inputs.refused]
    skipped = [Row(name, SKIPPED, reason=reason) for name, reason in inputs.skipped]
    if options.pages and studies:
        # what has no folder has no other name than its file's
        _write_index(options.output, [] if options.anonymize else [*refused, *skipped], messages)
    print_table([*rows, *refused, *skipped], options.output)
    if any(row.outcome == NOT_DONE for row in rows):
        return INTERRUPTED
    return exit_code([row.outcome for row in (*rows, *refused)])


def exit_code(outcomes: Sequence[str]) -> int:
    """Return 0 if all are ``ok``, 2 if there is none or all are ``invalid_input``, else 3."""
    if all(outcome == "invalid_input" for outcome in outcomes):
        return BAD_INPUT
    return ALL_FINE if all(outcome == "ok" for outcome in outcomes) else FLAGGED


def _clicked(studies: list[Study], options: Options) -> list[Study]:
    """Return the studies, the only one with the clicks if there are any."""
    if not options.foreground and not options.background:
        return studies
    if len(studies) != 1:
        received = f"{len(studies)} studies"
        raise bad_input("clicks", "clicks belong to one scan", received, "Give one scan, or no clicks.")
    foreground = [parse_click(text) for text in options.foreground]
    return [with_clicks(studies[0], foreground, [parse_click(text) for text in options.background])]


def _make_output(options: Options) -> None:
    output = options.output
    if options.resume and options.overwrite:
        received = "both --resume and --overwrite"
        raise bad_input(output, "results that are there are kept or replaced", received, "Give one of them.")
    make_folder(output)


@contextmanager
def _alone_in(output: Path) -> Iterator[None]:
    """Hold the folder's lock file, which the system frees when this process ends, however it ends."""
    lock = FileLock(output / LOCK_NAME, blocking=False)
    try:
        lock.acquire()
    except Timeout as error:
        remedy = "Wait until it ends, or give another --output."
        raise bad_input(output, "one run at a time writes into a folder", "another that is going on", remedy) from error
    except OSError as error:
        raise bad_input(output, "the output folder can be written to", error, "Give another --output.") from error
    try:
        yield
    finally:
        # the file before the lock: nobody can take a lock on a file that is gone
        with suppress(OSError):
            (output / LOCK_NAME).unlink()
        lock.release()


def _check_results(options: Options, studies: Sequence[Study]) -> None:
    output = options.output
    there = [study.case for study in studies if result_files(output / study.case)]
    if there and not options.resume and not options.overwrite:
        received = f"results of {', '.join(there[:3])}" + (f" and {len(there) - 3} more" if len(there) > 3 else "")
        remedy = "Give --resume to keep what is complete, --overwrite to replace it, or another --output."
        raise bad_input(output, "no result is replaced unasked", received, remedy)


def _segment_all(studies: Sequence[Study], options: Options, messages: Console) -> list[Row]:
    with messages.status("loading the networks"):
        segmenter = Segmenter(
            options.output,
            options.device,
            system=options.system,
            probabilities=options.save_probabilities,
            pages=options.pages,
            anonymize=options.anonymize,
        )
    rows: list[Row] = []
    with Bars(messages, len(studies)) as bars:
        for study in studies:
            bars.begin(study.case)
            try:
                row = _segment_one(segmenter, study, options, bars, messages)
            except KeyboardInterrupt:
                remove_results(options.output / study.case)
                break
            bars.end(row)
            rows.append(row)
    return rows + [Row(study.case, NOT_DONE, reason="interrupted") for study in studies[len(rows) :]]


def _segment_one(segmenter: Segmenter, study: Study, options: Options, bars: Bars, messages: Console) -> Row:
    if options.resume and (kept := _kept(segmenter, study, options.output / study.case)):
        return kept
    started = time.perf_counter()
    try:
        with _renamed_messages(study):
            result = segmenter.run(study, bars.stage)
    except InputError as error:
        outcome, reason = "invalid_input", study.public(str(error))
    except Exception as error:  # whatever is wrong with one scan, the others go on
        first = _origin(error)
        outcome, reason = "failed", study.public(f"{study.image}: {type(first).__name__}: {_first_line(first)}")
        reason += _log_traceback(study, options.output)
    else:
        return Row(study.case, result.outcome, result.volume_ml, result.seconds, "; ".join(result.reasons))
    _say(messages, reason)
    reason += _write_failure(segmenter, study, options.output / study.case, outcome, reason)
    return Row(study.case, outcome, seconds=time.perf_counter() - started, reason=reason)


def _kept(segmenter: Segmenter, study: Study, folder: Path) -> Row | None:
    """Return the row of a study whose results are complete, else None; what a killed run left over is removed."""
    remove_unfinished(folder)
    try:
        found = finished_report(folder, segmenter.key(study))
    except OSError:
        return None
    if found is None:
        return None
    reason = "; ".join(text for text in ("kept from an earlier run", found.get("reason")) if text)
    return Row(study.case, found["outcome"], found.get("volume_ml"), reason=reason)


def _write_failure(segmenter: Segmenter, study: Study, folder: Path, outcome: str, reason: str) -> str:
    """Write report and page of a scan without a mask; return what to add to the reason if even that fails.

    Bad input stays bad, so its report has a key and is kept by ``--resume``; what failed is tried again.
    """
    content = failure_report(study.case, study.public(study.image), outcome, reason)
    try:
        remove_results(folder)
        if segmenter.pages:
            report_page.write_report_page(content, folder / report_page.FILE_NAME)
        with suppress(OSError):  # of a file that cannot be read there is no key
            if outcome == "invalid_input" and all(file.is_file() for file in study.files):
                content |= {"files": [path.name for path in result_files(folder)], "key": segmenter.key(study)}
        write_report(content, folder / report.FILE_NAME)
    except OSError as error:
        return f" The report cannot be written: {error}."
    return ""


def _log_traceback(study: Study, output: Path) -> str:
    """Add the traceback of the exception at hand to the log, and return where it is, as a sentence."""
    try:
        with (output / LOG_NAME).open("a", encoding="utf-8") as log:
            log.write(f"{study.case}\n{study.public(traceback.format_exc())}\n")
    except OSError:
        return ""
    return f". The traceback is in {output / LOG_NAME}."


def _write_index(output: Path, rows: Sequence[Row], messages: Console) -> None:
    try:
        remove_unfinished(output, [index_page.FILE_NAME])
        index_page.write_index(output, rows)
    except OSError as error:
        _say(messages, f"{output / index_page.FILE_NAME}: it cannot be written: {error}")


def _origin(error: BaseException) -> BaseException:
    """Return the first of a chain of exceptions: MONAI wraps what a transform raises and says only which one."""
    while error.__cause__ is not None:
        error = error.__cause__
    return error


def _first_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [""])[0]


def _tell_names(studies: Sequence[Study], anonymous_studies: Sequence[Study], messages: Console) -> None:
    for known, study in zip(studies, anonymous_studies, strict=True):
        text = f"{study.case} is {printable(known.public(known.image))}"
        messages.print(text, markup=False, highlight=False, soft_wrap=True)


def _say(messages: Console, text: str) -> None:
    messages.print(f"error: {printable(text)}", style="red", markup=False, highlight=False, soft_wrap=True)


class _Renamed(logging.Filter):
    """Messages on a study, as its results would say them."""

    def __init__(self, study: Study) -> None:
        super().__init__()
        self.study = study

    def filter(self, record: logging.LogRecord) -> bool:
        record.msg, record.args = self.study.public(record.getMessage()), ()
        return True


@contextmanager
def _renamed_messages(study: Study) -> Iterator[None]:
    renamed = _Renamed(study)
    handlers = logging.getLogger("bundle").handlers
    for handler in handlers:
        handler.addFilter(renamed)
    try:
        yield
    finally:
        for handler in handlers:
            handler.removeFilter(renamed)


@contextmanager
def _quiet_logging(messages: Console) -> Iterator[None]:
    """Show what the bundle logs above the progress bars; hide the libraries' warnings, which users cannot act on."""
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
