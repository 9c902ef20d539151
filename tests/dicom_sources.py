"""Scans in DICOM files that outputs refer to: any geometry, single or multi-frame, full or sparse headers."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from monai.data import MetaTensor
from pydicom.dataset import Dataset, FileDataset
from pydicom.uid import CTImageStorage, EnhancedCTImageStorage, generate_uid

from bundle.read.dicom_source import META_KEY, DicomSource
from tests.dicom_phantoms import change, ct_file, item

COLUMNS, ROWS, SLICES = 9, 10, 8
PIXEL_SPACING = (0.8, 0.6)  # between rows, between columns
STEP_MM = 2.5
IN_ORDER = tuple(range(SLICES))
POSITION = np.array([-20.0, -30.0, 100.0])

# What the headers say about the patient, which an anonymous output may not.
PRIVATE = ("Müller", "hospital 12", "19500102", "20200304", "A99", "Referrer", "Clinic Q", "CT-4", "other-77", "Street")

# Direction cosines along a row and down a column, LPS; slices follow their cross product.
ORIENTATIONS = {
    "axial": (1, 0, 0, 0, 1, 0),
    "rows negated": (-1, 0, 0, 0, 1, 0),
    "columns negated": (1, 0, 0, 0, -1, 0),
    "both negated": (-1, 0, 0, 0, -1, 0),
    "coronal": (1, 0, 0, 0, 0, -1),
    "oblique": (0.96, 0.28, 0, -0.168, 0.576, 0.8),
}


def write_series(
    folder: Path, orientation: Sequence[float] = ORIENTATIONS["axial"], tilt_degrees: float = 0, **changes: Any
) -> DicomSource:
    """Write one file per slice, last slice first by name and instance number; ``changes`` set or (None) drop tags."""
    uids = {name: generate_uid() for name in ("StudyInstanceUID", "SeriesInstanceUID", "FrameOfReferenceUID")}
    paths = []
    for index in range(SLICES):
        slice_ = _file(CTImageStorage, _stored(1)[0], uids)
        slice_.ImagePositionPatient = _texts(positions_mm(orientation, tilt_degrees)[index])
        slice_.ImageOrientationPatient = _texts(orientation)
        slice_.PixelSpacing = list(PIXEL_SPACING)
        slice_.InstanceNumber = SLICES - index
        change(slice_, changes)
        paths.append(folder / f"slice_{SLICES - index:02d}.dcm")
        slice_.save_as(paths[-1], enforce_file_format=True)
    return DicomSource(tuple(paths), uids["SeriesInstanceUID"])


def write_enhanced(
    path: Path,
    orientation: Sequence[float] = ORIENTATIONS["axial"],
    order: Sequence[int] = IN_ORDER,
    shared: bool = True,
) -> DicomSource:
    """Write a multi-frame file whose frame i is slice ``order[i]``; ``shared``: orientation and spacing said once."""
    uids = {name: generate_uid() for name in ("StudyInstanceUID", "SeriesInstanceUID", "FrameOfReferenceUID")}
    image = _file(EnhancedCTImageStorage, _stored(len(order)), uids)
    frames = [_frame(orientation, positions_mm(orientation)[index], not shared) for index in order]
    image.SharedFunctionalGroupsSequence = [_frame(orientation, None, shared)]
    image.PerFrameFunctionalGroupsSequence = frames
    image.save_as(path, enforce_file_format=True)
    return DicomSource((path,), uids["SeriesInstanceUID"], True, tuple(list(order).index(i) for i in range(SLICES)))


def positions_mm(orientation: Sequence[float], tilt_degrees: float = 0) -> np.ndarray:
    """Return (Z, 3), LPS, of the slices in ascending position along their normal; a tilt shifts them down a picture."""
    return POSITION + np.arange(SLICES)[:, None] * _step(orientation, tilt_degrees)


def affine_of(orientation: Sequence[float], tilt_degrees: float = 0) -> np.ndarray:
    """Return (4, 4), voxel to mm, RAS+, worked out here apart from the code under test."""
    row, column = np.array(orientation[:3], dtype=float), np.array(orientation[3:], dtype=float)
    lps = np.eye(4)
    lps[:3] = np.stack([row * 0.6, column * 0.8, _step(orientation, tilt_degrees), POSITION], axis=1)
    return np.diag([-1, -1, 1, 1]) @ lps


def mask_of(source: DicomSource, orientation: Sequence[float] = ORIENTATIONS["axial"]) -> MetaTensor:
    """Return a (1, X, Y, Z) mask on the grid of the slices that no flip or swap of axes maps onto itself."""
    voxels = torch.zeros(1, COLUMNS, ROWS, SLICES, dtype=torch.uint8)
    voxels[0, 1:4, 2, 3:7] = 1
    voxels[0, 5, 2:9, 5] = 1
    meta = {"affine": torch.from_numpy(affine_of(orientation)), META_KEY: source.to_json()}
    return MetaTensor(voxels, meta=meta)


def points_mm(voxels: np.ndarray, affine: np.ndarray) -> np.ndarray:
    """Return the places of the true voxels as sorted rows, rounded to a thousandth of a millimetre."""
    return sorted_rows(np.argwhere(voxels) @ affine[:3, :3].T + affine[:3, 3])


def sorted_rows(points: Sequence[Sequence[float]] | np.ndarray) -> np.ndarray:
    """Return (N, 3) places in an order of their own, rounded to a thousandth."""
    rounded = np.round(np.asarray(points, dtype=float), 3) + 0.0
    return rounded[np.lexsort(rounded.T)]


def _step(orientation: Sequence[float], tilt_degrees: float) -> np.ndarray:
    column = np.array(orientation[3:], dtype=float)
    return STEP_MM * (np.cross(orientation[:3], column) + np.tan(np.radians(tilt_degrees)) * column)


def _file(sop_class: str, stored: np.ndarray, uids: dict[str, str]) -> FileDataset:
    image = ct_file(sop_class, stored, SpecificCharacterSet="ISO_IR 100", **uids)
    image.PatientName, image.PatientID = "Müller^Jörg", "hospital 12"
    image.PatientBirthDate, image.PatientSex = "19500102", "M"
    image.StudyDate, image.StudyTime, image.StudyID = "20200304", "111213", "S7"
    image.AccessionNumber, image.ReferringPhysicianName = "A99", "Referrer^Rita"
    image.InstitutionName, image.Manufacturer, image.StationName = "Clinic Q", "Scanner Works", "CT-4"
    image.AcquisitionDate, image.AcquisitionTime = "20200304", "111213"
    image.OtherPatientIDs, image.PatientAddress = "other-77", "Street 5"
    image.PositionReferenceIndicator = ""
    return image


def _stored(frames: int) -> np.ndarray:
    return np.arange(frames * ROWS * COLUMNS).reshape(frames, ROWS, COLUMNS)


def _frame(orientation: Sequence[float], position: np.ndarray | None, with_plane: bool) -> Dataset:
    frame = Dataset()
    if position is not None:
        frame.PlanePositionSequence = [item(ImagePositionPatient=_texts(position))]
    if with_plane:
        frame.PlaneOrientationSequence = [item(ImageOrientationPatient=_texts(orientation))]
        frame.PixelMeasuresSequence = [item(PixelSpacing=list(PIXEL_SPACING), SliceThickness=STEP_MM)]
    return frame


def _texts(values: Sequence[float] | np.ndarray) -> list[str]:
    return [f"{value:.6f}" for value in values]
