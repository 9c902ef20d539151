"""The slices of one DICOM CT series in order, on one grid: every way in which they may fail to be that is refused."""

from __future__ import annotations

import filecmp
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from bundle.errors import bad_input
from bundle.read.checks import check_affine, check_shape
from bundle.read.dicom_pixels import check_decodable
from bundle.read.dicom_slices import Slice
from bundle.read.dicom_source import DicomSource
from bundle.read.finding import Finding, warning

_LPS_TO_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])
_GAP_TOLERANCE = 0.1  # of the distance between neighbouring slices
_SAME_PLACE_MM = 1e-3
_NEEDED = ("rows", "columns", "pixel_spacing", "position", "orientation")
_KEYWORDS = {
    "rows": "Rows",
    "columns": "Columns",
    "pixel_spacing": "PixelSpacing",
    "position": "ImagePositionPatient",
    "orientation": "ImageOrientationPatient",
}


@dataclass(frozen=True)
class Series:
    """The slices of one CT series in ascending position along their normal.

    Attributes:
        slices: one per voxel layer.
        shape: (X, Y, Z) with X along the rows' direction (columns of the picture), Y down the picture, Z over slices.
        affine: (4, 4) voxel to mm, RAS+; sheared where the gantry was tilted.
        findings: what the user should know, though the series can be read.
    """

    slices: tuple[Slice, ...]
    shape: tuple[int, int, int]
    affine: np.ndarray
    findings: tuple[Finding, ...]

    @property
    def source(self) -> DicomSource:
        """The files, for what refers back to them."""
        first = self.slices[0]
        if first.frame is None:
            return DicomSource(tuple(picture.file for picture in self.slices), first.series)
        return DicomSource((first.file,), first.series, True, tuple(picture.frame or 0 for picture in self.slices))


def arrange(source: Path, slices: Sequence[Slice]) -> Series:
    """Return the CT slices as one series, sorted by their position along the normal.

    Args:
        source: folder or file to name in errors about all of them.
        slices: in any order; neither file names nor instance numbers count.

    Raises:
        InputError: slices without position or with missing bytes, of different size, spacing or orientation; several
            slices at one position; uneven distances; a grid that :mod:`bundle.read.checks` refuses.
    """
    for picture in slices:
        _check_slice(picture)
    for attribute in ("rows", "columns", "pixel_spacing", "orientation"):
        _check_shared(slices, attribute)
    orientation = _median(slices, "orientation")
    normal = np.cross(orientation[:3], orientation[3:])
    places_mm = [float(np.dot(picture.position or (), normal)) for picture in slices]
    ordered = [slices[index] for index in np.argsort(places_mm, kind="stable")]
    ordered, copies = _without_copies(ordered, normal)
    shape = check_shape(source, (slices[0].columns, slices[0].rows, len(ordered)))
    positions = np.array([picture.position for picture in ordered])
    _check_phases(source, ordered, positions @ normal)
    _check_gaps(source, ordered, positions @ normal)
    pixel_spacing = _median(slices, "pixel_spacing")
    _check_straight(ordered, positions, normal, 0.5 * float(pixel_spacing.min()))
    affine = _affine(orientation, pixel_spacing, positions)
    check_affine(source, affine)
    return Series(tuple(ordered), shape, affine, tuple(_findings(ordered, copies)))


def _check_slice(picture: Slice) -> None:
    if picture.frames > 1 and picture.frame is None:
        raise bad_input(
            picture.file,
            "a multi-frame file says where each frame lies",
            f"{picture.frames} frames without PerFrameFunctionalGroupsSequence",
            "Export one file per slice, or an Enhanced CT.",
        )
    if picture.samples != 1:
        raise bad_input(picture.file, "a voxel is one number", "a colour image", "Give the CT reconstruction itself.")
    for attribute in _NEEDED:
        if not getattr(picture, attribute):
            rule = f"a CT slice has {_KEYWORDS[attribute]}"
            raise bad_input(picture.file, rule, f"none ({picture.name})", "Export it again with its full header.")
    lengths = np.linalg.norm(np.reshape(picture.orientation or (), (2, 3)), axis=1)
    if np.abs(lengths - 1).max() > 0.01:
        rule = "the directions in ImageOrientationPatient have length 1"
        received = f"lengths {lengths[0]:.3g} and {lengths[1]:.3g} ({picture.name})"
        raise bad_input(picture.file, rule, received, "Export it again with its full header.")
    check_decodable(picture)


def _check_shared(slices: Sequence[Slice], attribute: str) -> None:
    usual = _median(slices, attribute)
    odd = [p for p in slices if not np.allclose(np.atleast_1d(getattr(p, attribute)), usual, atol=1e-3)]
    if odd:
        values = np.atleast_1d(getattr(odd[0], attribute)).tolist()
        where = ", ".join(f"{value:.2f}" for value in odd[0].position or ())
        raise bad_input(
            odd[0].file,
            f"all slices of a series share one {_KEYWORDS[attribute]}",
            f"{values} beside {usual.tolist()} in {odd[0].name} at ({where}) mm ({len(odd)} of {len(slices)} slices)",
            "Give the axial reconstruction alone.",
        )


def _median(slices: Sequence[Slice], attribute: str) -> np.ndarray:
    """Return the usual value of an attribute, number by number."""
    return np.median([np.atleast_1d(getattr(picture, attribute)) for picture in slices], axis=0)


def _without_copies(ordered: Sequence[Slice], normal: np.ndarray) -> tuple[list[Slice], list[Slice]]:
    """Return (slices, copies): a copy is a file with the same bytes as another one at the same position."""
    kept: list[Slice] = []
    copies: list[Slice] = []
    for picture in ordered:
        at_place = [k for k in kept[-8:] if np.allclose(k.position or (), picture.position or (), atol=_SAME_PLACE_MM)]
        if picture.frame is None and any(_same_file(picture, other) for other in at_place):
            copies.append(picture)
        else:
            kept.append(picture)
    return kept, copies


def _same_file(a: Slice, b: Slice) -> bool:
    return a.uid == b.uid and filecmp.cmp(a.file, b.file, shallow=False)


def _check_phases(source: Path, ordered: Sequence[Slice], places_mm: np.ndarray) -> None:
    """Refuse a series that shows every place, or most of them, several times."""
    new_place = np.diff(places_mm, prepend=-np.inf) > _SAME_PLACE_MM
    count = int(new_place.sum())
    if len(ordered) < 1.5 * count:
        return
    values: dict[str, set[str]] = {}
    for picture in ordered:
        for name, text in picture.phase:
            values.setdefault(name, set()).add(text)
    apart = [name for name, texts in values.items() if 1 < len(texts) <= max(2, len(ordered) // max(1, count) + 1)]
    by = f", told apart by {apart[0]} ({', '.join(sorted(values[apart[0]])[:5])})" if apart else ""
    raise bad_input(
        source,
        "a series shows one phase, each position once (no 4-D, no multi-phase series)",
        f"{len(ordered)} slices at {count} positions{by}",
        "Export one phase as a series of its own.",
    )


def _check_gaps(source: Path, ordered: Sequence[Slice], places_mm: np.ndarray) -> None:
    gaps_mm = np.diff(places_mm)
    step_mm = float(np.median(gaps_mm))
    wrong = np.flatnonzero(np.abs(gaps_mm - step_mm) > _GAP_TOLERANCE * step_mm)
    if not len(wrong):
        _check_drift(source, ordered, places_mm, step_mm)
        return
    # a doubled slice is named before the gap that it may make
    index = int(next((i for i in wrong if gaps_mm[i] <= _SAME_PLACE_MM), wrong[0]))
    names = f"{ordered[index].name} and {ordered[index + 1].name}"
    where = f"{places_mm[index]:.2f} mm and {places_mm[index + 1]:.2f} mm ({names})"
    more = f"; {len(wrong) - 1} more places like it" if len(wrong) > 1 else ""
    if gaps_mm[index] <= _SAME_PLACE_MM:
        remedy = "Remove the duplicates, or give one phase of the series."
        raise bad_input(source, "each position has one slice", f"two slices at {where}{more}", remedy)
    lost = round(float(gaps_mm[index]) / step_mm) - 1
    missing = lost > 0 and abs(gaps_mm[index] - (lost + 1) * step_mm) <= _GAP_TOLERANCE * step_mm
    what = f"{lost} slice{'s' if lost > 1 else ''} missing" if missing else f"{gaps_mm[index]:.3g} mm"
    raise bad_input(
        source,
        f"slices are evenly spaced, here by {step_mm:.3g} mm",
        f"a gap between {where}: {what}{more}",
        "Add the missing slices or resample the series to even spacing.",
    )


def _check_drift(source: Path, ordered: Sequence[Slice], places_mm: np.ndarray, step_mm: float) -> None:
    """Refuse distances that are each nearly right and together put a slice elsewhere than an even grid has it."""
    offsets_mm = np.abs(places_mm - np.linspace(places_mm[0], places_mm[-1], len(places_mm)))
    worst = int(offsets_mm.argmax())
    if offsets_mm[worst] > 0.5 * step_mm:
        raise bad_input(
            source,
            f"slices are evenly spaced, here by {step_mm:.3g} mm",
            f"the slice at {places_mm[worst]:.2f} mm ({ordered[worst].name}) {offsets_mm[worst]:.2f} mm off its place",
            "Resample the series to even spacing.",
        )


def _check_straight(ordered: Sequence[Slice], positions: np.ndarray, normal: np.ndarray, tolerance_mm: float) -> None:
    """Refuse a slice beside the straight line through the others: the table or the field of view moved sideways."""
    offsets = positions - np.linspace(positions[0], positions[-1], len(positions))
    offsets -= np.median(offsets, axis=0)
    offsets -= np.outer(offsets @ normal, normal)
    offsets_mm = np.linalg.norm(offsets, axis=1)
    worst = int(offsets_mm.argmax())
    if offsets_mm[worst] > tolerance_mm:
        where = ", ".join(f"{value:.2f}" for value in positions[worst])
        raise bad_input(
            ordered[worst].file,
            "the slices of a series lie one above the other",
            f"{ordered[worst].name} at ({where}) mm, {offsets_mm[worst]:.2f} mm beside the others",
            "Give one reconstruction with one field of view.",
        )


def _affine(orientation: np.ndarray, pixel_spacing: np.ndarray, positions: np.ndarray) -> np.ndarray:
    affine = np.eye(4)
    affine[:3, 0] = orientation[:3] * pixel_spacing[1]
    affine[:3, 1] = orientation[3:] * pixel_spacing[0]
    affine[:3, 2] = (positions[-1] - positions[0]) / (len(positions) - 1)
    affine[:3, 3] = positions[0]
    return _LPS_TO_RAS @ affine


def _findings(ordered: Sequence[Slice], copies: Sequence[Slice]) -> list[Finding]:
    found = []
    missing = sorted({name for picture in ordered for name in picture.missing})
    if missing:
        taken = " Stored values are taken as Hounsfield units." if "RescaleIntercept" in missing else ""
        found.append(warning("sparse_header", f"The DICOM header lacks {', '.join(missing)}.{taken}"))
    if copies:
        names = ", ".join(picture.name for picture in copies[:3]) + (" and more" if len(copies) > 3 else "")
        found.append(warning("copied_slices", f"{len(copies)} files are copies of others and were left out: {names}."))
    return found
