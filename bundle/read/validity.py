"""Which cases can be used, found out from their headers (or their voxels) before anything is computed."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import Any

from bundle.errors import InputError
from bundle.read.checks import UPRIGHT_DEGREES
from bundle.read.label import check_same_grid
from bundle.read.scan import read_header, read_scan

logger = logging.getLogger(__name__)

_PROBLEMS_SHOWN = 20


def checked_scans(
    datalist: Sequence[Mapping[str, Any]],
    read_voxels: bool = False,
    check_intensities: bool = True,
    max_shear_degrees: float = UPRIGHT_DEGREES,
) -> list[dict[str, Any]]:
    """Return the valid cases; each other one is named in the log with its reason and the rest go on.

    Args:
        datalist: cases with ``image`` and maybe ``label``.
        read_voxels: also read each scan, which finds truncated files, NaN, constant images and other units than
            Hounsfield's, at the price of reading it once more later.
        check_intensities: with ``read_voxels``, whether other units are a reason.
        max_shear_degrees: how far the axes may be from right angles, as for :class:`~bundle.read.LoadScand`.

    Raises:
        InputError: no case is valid.
    """
    valid, problems = [], []
    for entry in datalist:
        try:
            _check(entry, max_shear_degrees)
            if read_voxels:
                read_scan(entry["image"], check_intensities, entry.get("series_uid"), max_shear_degrees)
            valid.append(dict(entry))
        except InputError as error:
            problems.append(str(error))
            logger.warning("left out: %s", error)
    if not valid:
        raise _all_in_one("at least one case can be used", problems)
    return valid


def check_datalist(datalist: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return the cases if the headers of all images and labels are right, else raise all problems as one error.

    A scan with gantry tilt counts as wrong: training takes axes at right angles for granted.
    """
    problems = []
    for entry in datalist:
        try:
            _check(entry, UPRIGHT_DEGREES)
        except InputError as error:
            problems.append(str(error))
    if problems:
        raise _all_in_one("every case can be used", problems)
    return [dict(entry) for entry in datalist]


def _check(entry: Mapping[str, Any], max_shear_degrees: float) -> None:
    scan = read_header(entry["image"], entry.get("series_uid"), max_shear_degrees)
    if entry.get("label"):
        label = read_header(entry["label"])
        check_same_grid(entry["label"], (label.shape, label.affine), entry["image"], (scan.shape, scan.affine))


def _all_in_one(rule: str, problems: Sequence[str]) -> InputError:
    lines = "".join(f"\n  - {problem}" for problem in problems[:_PROBLEMS_SHOWN])
    more = f"\n  and {len(problems) - _PROBLEMS_SHOWN} more" if len(problems) > _PROBLEMS_SHOWN else ""
    # not by bad_input, which would make it one line
    return InputError(f"datalist: {rule}; {len(problems)} can't. Correct them or leave them out:{lines}{more}")
