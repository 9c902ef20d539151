"""A path given as a DICOM scan: the series to read from it."""

from __future__ import annotations

import logging
from collections import Counter
from pathlib import Path

from bundle.errors import InputError, bad_input
from bundle.read.dicom import Series
from bundle.read.dicom_choice import Candidate, candidates, choose
from bundle.read.dicom_slices import dicom_files

logger = logging.getLogger(__name__)


def open_series(path: Path, series_uid: str | None = None) -> Series:
    """Return the CT series to read, in order, its pixels not read.

    Without ``series_uid`` it is chosen by the rules of :func:`~bundle.read.dicom_choice.choose` among those whose files
    lie directly in the folder; the others are named in the log. With it the subfolders are searched too.

    Args:
        path: folder, or a multi-frame file.
        series_uid: SeriesInstanceUID.

    Raises:
        InputError: no DICOM file, no such series, no CT series, or one that cannot be read.
    """
    files = [path] if path.is_file() else list(dicom_files(path, below=bool(series_uid)))
    if not files:
        remedy = "Give a .nii or .nii.gz file or the folder that holds the DICOM files of a CT series."
        raise bad_input(path, "a folder given as a scan holds DICOM files", "no DICOM file", remedy)
    found, damaged = candidates(files)
    if series_uid:
        found = [candidate for candidate in found if candidate.uid == series_uid]
    if not found:
        raise _nothing(path, series_uid, damaged)
    chosen, reasons = choose(found)
    if chosen is None:
        raise no_ct(path, found)
    for index, reason in reasons.items():
        other = found[index]
        logger.warning(
            "%s: series %s (%s, %d files) is not read: %s",
            path,
            other.uid,
            other.slices[0].modality,
            len({picture.file for picture in other.slices}),
            reason,
        )
    if isinstance(chosen.outcome, InputError):
        raise chosen.outcome
    return chosen.outcome


def no_ct(path: Path, found: list[Candidate]) -> InputError:
    """Return the error for a path under which there is DICOM, but no CT series."""
    kinds = Counter(candidate.refused for candidate in found)
    received = ", ".join(f"{count} x {kind}" if count > 1 else str(kind) for kind, count in kinds.items())
    return bad_input(path, "the scan is a CT series", received, "Give the folder of the axial CT reconstruction.")


def _nothing(path: Path, series_uid: str | None, damaged: dict[Path, InputError]) -> InputError:
    if damaged:
        return next(iter(damaged.values()))
    return bad_input(path, "the series is there", f"none with UID {series_uid}", "Give the folder of the series.")
