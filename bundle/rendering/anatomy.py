"""Anatomies: maps of tissues on an isotropic grid, read from any label map whose structures have names, and written."""

from __future__ import annotations

import json
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import nibabel as nib
import numpy as np
import torch
from nibabel.filebasedimages import ImageFileError
from nibabel.spatialimages import HeaderDataError
from scipy import ndimage

from bundle.errors import InputError, bad_input
from bundle.files import write_nifti, write_text
from bundle.geometry import spacing_of
from bundle.read.checks import MIN_SPACING_MM, check_affine
from bundle.rendering.positions import check_positions
from bundle.rendering.sidecar import read_names, read_patients, sidecar_path
from bundle.rendering.tissue_names import LABEL_SCHEMES, tissue_of
from bundle.rendering.tissues import Tissue

PANCREAS_VOLUME_ML = (5.0, 300.0)
"""Volumes of a pancreas that are taken for possible: below it is cut off, above it is another organ."""

_CONTOUR_JITTER_MM = 2.0
_READ_ERRORS = (OSError, EOFError, ValueError, KeyError, OverflowError, zlib.error, ImageFileError, HeaderDataError)


@dataclass(frozen=True)
class Anatomy:
    """A body as a map of tissues.

    Args:
        tissues: uint8 (X, Y, Z) in RAS order, values of :class:`~bundle.rendering.tissues.Tissue`.
        spacing_mm: edge of the cubic voxel.
        patient: whom it shows; the names of several, joined by "+", where it was composed of them.
    """

    tissues: torch.Tensor
    spacing_mm: float
    patient: str

    @property
    def patients(self) -> tuple[str, ...]:
        """Everyone whose anatomy is part of it: data must be split so that none is on both sides."""
        return tuple(self.patient.split("+"))


def read_anatomy(path: str | Path, spacing_mm: float = 1.5, names: Mapping[int, str] | None = None) -> Anatomy:
    """Read a label map (NIfTI) as an anatomy, in RAS order on a cubic grid.

    Axes are permuted and flipped to the nearest RAS order; what obliquity then remains is ignored. A map whose voxels
    differ from the grid is interpolated by the signed distances to each tissue (shape-based interpolation: Raya and
    Udupa 1990, https://doi.org/10.1109/42.52980), so that thick slices leave no steps.

    Args:
        path: the label map. Its structures are named by the first of: ``names``; a file beside it with suffix .json,
            {"value": "name"} or {"labels": {"value": "name"}, "patients": [...]}, where {"name": value} will do, too;
            a known scheme, by the file's prefix.
        spacing_mm: edge of the cubic voxel of the result.
        names: value to structure name.

    Raises:
        InputError: see :func:`read_ras` and :mod:`~bundle.rendering.sidecar`; a structure that no scheme knows, no
            pancreas, a pancreas volume outside 5-300 ml, organs on the wrong side of each other
            (:data:`~bundle.rendering.positions.RULES`).
    """
    path = Path(path)
    codes, native_spacing_mm = read_ras(path)
    value_names = names or read_names(path) or _names_of_scheme(path)
    tissues = _to_tissues(path, codes, value_names)
    _check_anatomy(path, tissues, native_spacing_mm)
    tissues = resample_tissues(tissues, native_spacing_mm, spacing_mm)
    return Anatomy(torch.from_numpy(tissues), float(spacing_mm), "+".join(read_patients(path)))


def write_anatomy(anatomy: Anatomy, path: str | Path) -> None:
    """Write the tissues as uint8 NIfTI (``path``, .nii.gz) and their names and patients as JSON beside it.

    Both appear under their final name only when complete, the map last.
    """
    path = Path(path)
    sidecar = {
        "patients": list(anatomy.patients),
        "labels": {str(tissue.value): tissue.name.lower() for tissue in Tissue},
    }
    write_text(json.dumps(sidecar, indent=1) + "\n", sidecar_path(path))
    write_nifti(anatomy.tissues.cpu().numpy(), np.diag([anatomy.spacing_mm] * 3 + [1.0]), path)


def list_anatomies(directory: str | Path) -> list[Path]:
    """The label maps (.nii, .nii.gz) in a folder, sorted by name; half-written ones are left out.

    Raises:
        InputError: no such folder, or no label map in it.
    """
    directory = Path(directory)
    if not directory.is_dir():
        raise bad_input(directory, "anatomies are read from a folder", "no folder", "Check the path.")
    paths = sorted(p for p in directory.iterdir() if p.name.endswith((".nii", ".nii.gz")) and p.name[0] != ".")
    if not paths:
        raise bad_input(directory, "a folder of anatomies holds label maps", "no .nii or .nii.gz", "Check the path.")
    return paths


def choose_anatomies(folder: str | Path, patients: str | Sequence[str] = "") -> list[Path]:
    """The label maps in a folder all of whose patients are listed, sorted by name.

    Args:
        folder: see :func:`list_anatomies`.
        patients: "A,B,...", which MONAI's command line turns into a tuple; nobody means everybody.

    Raises:
        InputError: no such folder, no label map in it, a patient whom no map shows, no map of listed patients only.
    """
    paths = list_anatomies(folder)
    names = patients.split(",") if isinstance(patients, str) else patients
    wanted = {name.strip() for name in names if name.strip()}
    if not wanted:
        return paths
    known = {path: set(read_patients(path)) for path in paths}
    everyone = set().union(*known.values())
    if wanted - everyone:
        rule, received = f"patients are among {', '.join(sorted(everyone))}", ", ".join(sorted(wanted - everyone))
        raise bad_input(folder, rule, received, "Correct the list.")
    chosen = [path for path in paths if known[path] <= wanted]
    if not chosen:
        received = ", ".join(sorted(wanted))
        raise bad_input(folder, "a map is of listed patients only", received, "List its donors, too.")
    return chosen


def read_ras(path: Path) -> tuple[np.ndarray, tuple[float, float, float]]:
    """Return the whole-number values of a NIfTI map in RAS order, and its voxel edges in mm.

    Raises:
        InputError: no such file, unreadable, an affine or a spacing that no scan may have
            (:func:`~bundle.read.checks.check_affine`), not three-dimensional, values that are no whole numbers.
    """
    if not path.is_file():
        raise bad_input(path, "an anatomy is a file", "no file", "Check the path.")
    try:
        image = nib.load(path)
        if not isinstance(image, nib.Nifti1Pair):  # nibabel tells formats by their content
            raise ValueError(f"{type(image).__name__} instead of NIfTI")
    except _READ_ERRORS as error:
        raise _unreadable(path, error) from error
    _check_grid(path, image.affine)
    try:
        image = nib.as_closest_canonical(image)
        codes = np.asanyarray(image.dataobj)
    except _READ_ERRORS as error:
        raise _unreadable(path, error) from error
    if codes.ndim != 3:
        raise bad_input(path, "a label map has three dimensions", f"shape {codes.shape}", "Store one map per file.")
    if not np.issubdtype(codes.dtype, np.integer):
        rounded = np.round(np.nan_to_num(codes, nan=-1.0))
        if not np.array_equal(rounded, codes):
            raise bad_input(path, "label values are whole numbers", "fractions or NaN", "Give the labels, not a scan.")
        codes = rounded.astype(np.int64)
    return codes, spacing_of(image.affine)


def _unreadable(path: Path, error: BaseException) -> InputError:
    reason = str(error).splitlines()[0] if str(error) else type(error).__name__
    remedy = "Copy or export it again: it may be truncated or not a NIfTI file."
    return bad_input(path, "an anatomy is a NIfTI label map that can be read", reason, remedy)


def _check_grid(path: Path, affine: np.ndarray) -> None:
    spacing_mm = spacing_of(affine)
    # A spacing of zero or NaN is no matter of units: check_affine names it.
    if 0 < min(spacing_mm) < MIN_SPACING_MM:
        received = " x ".join(f"{value:.4g}" for value in spacing_mm) + " mm"
        remedy = "It may be in metres: write the spacing in millimetres."
        raise bad_input(path, f"voxels are at least {MIN_SPACING_MM:g} mm apart", received, remedy)
    check_affine(path, affine)


def _names_of_scheme(path: Path) -> Mapping[int, str]:
    for prefix, scheme in LABEL_SCHEMES.items():
        if path.name.lower().startswith(prefix):
            return scheme
    remedy = f'Name them in {sidecar_path(path).name} beside it: {{"1": "pancreas", ...}}.'
    raise bad_input(path, "the structures of a label map have names", "no names", remedy)


def _to_tissues(path: Path, codes: np.ndarray, names: Mapping[int, str]) -> np.ndarray:
    present = [int(value) for value in np.unique(codes)]
    if present[0] < 0 or present[-1] > 65535:
        raise bad_input(path, "label values are 0-65535", f"{present[0]} to {present[-1]}", "Give a label map.")
    table = np.zeros(present[-1] + 1, dtype=np.uint8)
    for value in present:
        if value == 0:
            continue
        name = names.get(value, "")
        tissue = tissue_of(name)
        if tissue is None:
            received = f"value {value} named '{name}'" if name else f"value {value} without a name"
            raise bad_input(path, "every label is a known structure", received, "Name it as TotalSegmentator does.")
        table[value] = tissue
    return table[codes]


def _check_anatomy(path: Path, tissues: np.ndarray, spacing_mm: Sequence[float]) -> None:
    volume_ml = np.count_nonzero(tissues == Tissue.PANCREAS) * float(np.prod(spacing_mm)) / 1000
    if volume_ml == 0:
        raise bad_input(path, "an anatomy shows the pancreas", "no such label", "Leave this map out.")
    low, high = PANCREAS_VOLUME_ML
    if not low <= volume_ml <= high:
        rule = f"a pancreas has {low:g}-{high:g} ml"
        raise bad_input(path, rule, f"{volume_ml:.1f} ml", "Check the label's value and the voxel spacing.")
    check_positions(path, tissues, spacing_mm)


def resample_tissues(tissues: np.ndarray, from_mm: Sequence[float], to_mm: float) -> np.ndarray:
    """Nearest tissue by interpolated signed distance; background where all are further than a tenth of a voxel."""
    if np.allclose(from_mm, to_mm, rtol=1e-3):
        return np.ascontiguousarray(tissues)
    shape = tuple(max(1, round(n * mm / to_mm)) for n, mm in zip(tissues.shape, from_mm, strict=True))
    result = np.zeros(shape, dtype=np.uint8)
    # Two tissues that touch are both at distance zero between their voxels: without the slack, a film of background.
    nearest_mm = np.full(shape, -0.1 * min(from_mm), dtype=np.float32)
    for tissue, box in enumerate(ndimage.find_objects(tissues.astype(np.int32)), start=1):
        if box is None:
            continue
        box = tuple(slice(max(b.start - 2, 0), min(b.stop + 2, n)) for b, n in zip(box, tissues.shape, strict=True))
        distance_mm = _signed_distance_mm(tissues[box] == tissue, from_mm)
        if from_mm[2] < to_mm:  # contours drawn slice by slice do not quite fit each other
            distance_mm = ndimage.gaussian_filter1d(distance_mm, _CONTOUR_JITTER_MM / from_mm[2], axis=2)
        window = []
        for axis, b in enumerate(box):
            start, distance_mm = _interpolate(distance_mm, axis, b.start, from_mm[axis], to_mm, shape[axis])
            window.append(slice(start, start + distance_mm.shape[axis]))
        there = tuple(window)
        closer = distance_mm > nearest_mm[there]
        result[there][closer] = tissue
        nearest_mm[there] = np.maximum(nearest_mm[there], distance_mm)
    return result


def _signed_distance_mm(mask: np.ndarray, spacing_mm: Sequence[float]) -> np.ndarray:
    """Distance to the other side, positive inside. A mask that fills its box has no other side: 1 mm."""
    if mask.all():
        return np.ones(mask.shape, np.float32)
    inside = ndimage.distance_transform_edt(mask, sampling=spacing_mm)
    outside = ndimage.distance_transform_edt(~mask, sampling=spacing_mm)
    return (inside - outside).astype(np.float32)


def _interpolate(
    values: np.ndarray, axis: int, start: int, from_mm: float, to_mm: float, size: int
) -> tuple[int, np.ndarray]:
    """Linear interpolation along one axis of a crop that begins at voxel ``start``.

    Returns the first voxel of the new grid (``size`` long, both grids begin at the same edge) and the values from it.
    """
    stop = start + values.shape[axis]
    first = min(max(0, int(np.floor(start * from_mm / to_mm))), size - 1)
    last = max(first + 1, min(size, int(np.ceil(stop * from_mm / to_mm))))
    position = (np.arange(first, last) + 0.5) * to_mm / from_mm - 0.5 - start
    position = np.clip(position, 0, values.shape[axis] - 1)
    lower = np.floor(position).astype(int)
    upper = np.minimum(lower + 1, values.shape[axis] - 1)
    weight = (position - lower).astype(np.float32).reshape([-1 if a == axis else 1 for a in range(values.ndim)])
    return first, values.take(lower, axis) * (1 - weight) + values.take(upper, axis) * weight
