"""What becomes of the DICOM studies that an application is given: a series of each is segmented, an outcome is said."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from bundle.errors import InputError, bad_input
from bundle.read.datalist import folder_name
from bundle.read.dicom_choice import candidates, choose
from bundle.read.dicom_series import no_ct
from bundle.read.dicom_slices import dicom_files
from bundle.segmentation.result_key import remove_results
from bundle.segmentation.segmenter import Result
from bundle.segmentation.study import Study
from bundle.write import failure_report, write_report
from bundle.write.report import FAILED, FILE_NAME, INVALID_INPUT

logger = logging.getLogger(__name__)

DONE, NO_RESULT = 0, 2


class Runs(Protocol):
    """What is needed of a :class:`~bundle.Segmenter`."""

    output_dir: Path | None

    def run(self, study: Study) -> Result:
        """Segment a study and write the results."""


def segment_study(segmenter: Runs, study_uid: str, series: Mapping[str, Sequence[Path]]) -> dict[str, Any]:
    """Segment one series of a study, write the results to a folder of their own, and return what report.json holds.

    The folder is called after the series, or after the study if it has no CT series. A study that cannot be segmented
    gets a report too, ``invalid_input`` or ``failed``; it stops no others.

    Args:
        segmenter: with an output folder.
        study_uid: StudyInstanceUID.
        series: those that may be segmented, SeriesInstanceUID to files.
    """
    study = Study(folder_name(study_uid), str(_folder(series)))
    try:
        study = chosen_series(series)
        report = segmenter.run(study).report
    except InputError as error:
        report = _without_result(segmenter, study, INVALID_INPUT, str(error))
    except Exception as error:  # whatever is wrong with one study, the others go on
        logger.exception("%s failed", study.case)
        report = _without_result(segmenter, study, FAILED, f"{type(error).__name__}: {error}")
    _say(report)
    return report


def chosen_series(series: Mapping[str, Sequence[Path]]) -> Study:
    """Return the series that :func:`~bundle.read.dicom_choice.choose` prefers; the log says why not the others.

    All files of the series are looked at, also those that the SDK's loader leaves out (damaged ones, and all but one
    slice of each place): they tell that a series is incomplete or holds several phases.

    Raises:
        InputError: none of the series is CT.
    """
    folder = _folder(series)
    found = [candidate for candidate in candidates(dicom_files(folder, below=True))[0] if candidate.uid in series]
    if not found:
        remedy = "Give plain files that aren't hidden."
        raise bad_input(folder, "the selected series are there", "none of them", remedy)
    best, reasons = choose(found)
    for index, reason in reasons.items():
        logger.info("%s is not segmented: %s", found[index].what, reason)
    if best is None:
        raise no_ct(folder, found)
    return Study(folder_name(best.uid), str(best.source), best.uid)


def nothing_to_segment(input_dir: Path, output_dir: Path) -> dict[str, Any]:
    """Write and return the report that says that there was no study, at the top of the output folder."""
    error = bad_input(input_dir, "the folder holds a DICOM study", "none", "Give a folder with DICOM files.")
    report = failure_report(folder_name(input_dir.name), input_dir, INVALID_INPUT, str(error))
    write_report(report, output_dir / FILE_NAME)
    _say(report)
    return report


def exit_code(reports: Sequence[Mapping[str, Any]]) -> int:
    """Return 0 if every study has results, which may need a look, and 2 if one has none.

    A platform that runs the application passes on the results of exit code 0 and takes all else as a failure, so an
    outcome such as ``low_confidence`` must not be one; :mod:`bundle.cli` returns 3 for it.
    """
    without = {INVALID_INPUT, FAILED}
    return NO_RESULT if not reports or any(report["outcome"] in without for report in reports) else DONE


def _without_result(segmenter: Runs, study: Study, outcome: str, reason: str) -> dict[str, Any]:
    report = failure_report(study.case, study.image, outcome, reason)
    if segmenter.output_dir is not None:
        folder = segmenter.output_dir / study.case
        remove_results(folder)
        write_report(report, folder / FILE_NAME)
    return report


def _say(report: Mapping[str, Any]) -> None:
    level = logging.INFO if report["outcome"] == "ok" else logging.WARNING
    volume = "" if report["volume_ml"] is None else f", {report['volume_ml']:.1f} ml"
    reason = f": {report['reason']}" if report["reason"] else ""
    logger.log(level, "%s: %s%s%s", report["case"], report["outcome"], volume, reason)


def _folder(series: Mapping[str, Sequence[Path]]) -> Path:
    return Path(os.path.commonpath([file.absolute().parent for files in series.values() for file in files]))
