"""What the files of a scan say that DICOM outputs refer to: which objects they are, where they lie, whose they are."""

from __future__ import annotations

import logging
import re
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from bundle.errors import bad_input
from bundle.geometry import spacing_of
from bundle.read.dicom_source import DicomSource

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

logger = logging.getLogger(__name__)

_FLIP = np.diag([-1.0, -1.0, 1.0, 1.0])  # between RAS+ and LPS, both ways
_SAME_VOXEL = 0.5  # of a voxel: how far slices may lie from an even grid and still be its slices

# What DICOM demands of patient and study in every object (types 1 and 2); nothing else of them is copied.
_PATIENT_AND_STUDY = (
    "PatientName",
    "PatientID",
    "PatientBirthDate",
    "PatientSex",
    "StudyDate",
    "StudyTime",
    "AccessionNumber",
    "ReferringPhysicianName",
    "StudyID",
)
_SEXES = ("M", "F", "O")
_UIDS = ("SOPClassUID", "SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID", "FrameOfReferenceUID")
_GEOMETRY = ("Rows", "Columns", "PixelSpacing", "ImagePositionPatient", "ImageOrientationPatient")
_COMPRESSION = ("LossyImageCompression", "LossyImageCompressionRatio", "LossyImageCompressionMethod")
_FRAMES = ("NumberOfFrames", "SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence")
_TAGS = [*_PATIENT_AND_STUDY, *_UIDS, *_GEOMETRY, *_COMPRESSION, *_FRAMES, "Modality", "SpecificCharacterSet"]


@dataclass(frozen=True)
class SourceHeaders:
    """The headers of the slices that a scan was read from, complete and without any fact about the patient.

    Attributes:
        images: one per file: UIDs, rows and columns, and where the pixels lie; everything else of the file is left out
            or empty, so that a library that copies from them cannot pass it on.
        positions_mm: (Z, 3), LPS, of the first voxel of each slice, in the order of the scan's third axis.
        orientation: (6,), LPS direction cosines along a row and down a column.
        pixel_spacing_mm: between rows, between columns.
        shape: (X, Y, Z) of the scan: columns, rows, slices.
        patient: what DICOM demands of patient and study, keyword to text; values that DICOM does not allow are empty.
    """

    images: tuple[Dataset, ...]
    positions_mm: np.ndarray
    orientation: np.ndarray
    pixel_spacing_mm: np.ndarray
    shape: tuple[int, int, int]
    patient: dict[str, str]

    @property
    def affine(self) -> np.ndarray:
        """(4, 4) voxel to mm, RAS+, of evenly spaced slices."""
        affine = np.eye(4)
        affine[:3, 0] = self.orientation[:3] * self.pixel_spacing_mm[1]
        affine[:3, 1] = self.orientation[3:] * self.pixel_spacing_mm[0]
        affine[:3, 2] = np.cross(self.orientation[:3], self.orientation[3:])
        if len(self.positions_mm) > 1:
            affine[:3, 2] = (self.positions_mm[-1] - self.positions_mm[0]) / (len(self.positions_mm) - 1)
        affine[:3, 3] = self.positions_mm[0]
        return _FLIP @ affine


def read_headers(source: DicomSource) -> SourceHeaders:
    """Return the headers of the slices, with what sparse ones lack filled in.

    A missing UID of study or frame of reference is derived from the series', the same one each time.

    Raises:
        InputError: a file cannot be read, or doesn't say which object it is or where its pixels lie.
    """
    from pydicom.config import disable_value_validation

    with disable_value_validation(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # pydicom's on values that break a rule of the standard: scanners break many
        headers = [_read(path) for path in source.files]
        try:
            frames = _frames(headers[0], source.frames) if source.multiframe else headers
            positions_mm = np.array([_numbers(frame, "ImagePositionPatient") for frame in frames])
            orientation = np.median([_numbers(frame, "ImageOrientationPatient") for frame in frames], axis=0)
            pixel_spacing_mm = np.median([_numbers(frame, "PixelSpacing") for frame in frames], axis=0)
            uids = _shared_uids(headers[0])
            images = [_image(header, uids) for header in headers]
            plane = _Plane(orientation, pixel_spacing_mm, _step_mm(positions_mm, orientation))
            if source.multiframe:
                _add_frames(images[0], headers[0], plane)
            else:
                _add_planes(images, positions_mm, plane)
            patient = {keyword: _allowed(headers[0], keyword) for keyword in _PATIENT_AND_STUDY}
        except Exception as error:  # pydicom raises many types for damaged values
            rule = "DICOM outputs refer to complete slices"
            raise bad_input(source.files[0], rule, error, "Use the NIfTI mask instead.") from error
    shape = (int(headers[0].Columns), int(headers[0].Rows), len(frames))
    return SourceHeaders(tuple(images), positions_mm, orientation, pixel_spacing_mm, shape, patient)


@dataclass(frozen=True)
class Planes:
    """Where the slices of a mask lie; lengths in mm, places and directions in LPS.

    Attributes:
        positions: (Z, 3), of the first voxel of each.
        orientation: (6,), direction cosines along a row (X) and down a column (Y).
        spacing: between rows, between columns, between slices along their normal.
        on_slices: whether they are the slices of the scan, one by one.
    """

    positions: np.ndarray
    orientation: np.ndarray
    spacing: tuple[float, float, float]
    on_slices: bool


def planes_of(shape: tuple[int, ...], affine: np.ndarray, headers: SourceHeaders) -> Planes:
    """Return where the slices of a mask lie: exactly on the scan's if it has their grid, else on its own.

    A mask has its own grid where the scan was resampled while it was read.

    Args:
        shape: (X, Y, Z) of the mask, X along the rows.
        affine: (4, 4) voxel to mm, RAS+.
        headers: of the scan.
    """
    lps = _FLIP @ affine
    column_mm, row_mm, _ = spacing_of(affine)
    positions = lps[:3, 3] + np.arange(shape[2])[:, None] * lps[:3, 2]
    orientation = np.concatenate([lps[:3, 0] / column_mm, lps[:3, 1] / row_mm])
    on_slices = _on_slices(shape, lps, headers)
    if on_slices:
        positions, orientation = headers.positions_mm, headers.orientation
        row_mm, column_mm = headers.pixel_spacing_mm
    normal = np.cross(orientation[:3], orientation[3:])
    return Planes(positions, orientation, (row_mm, column_mm, abs(float(lps[:3, 2] @ normal))), on_slices)


def _on_slices(shape: tuple[int, ...], lps: np.ndarray, headers: SourceHeaders) -> bool:
    """Whether each voxel of the mask lies on the pixel of the same index of the slice of the same index."""
    if tuple(shape) != headers.shape:
        return False
    corners = np.array([(x, y) for x in (0, shape[0] - 1) for y in (0, shape[1] - 1)])
    in_plane_mm = corners @ (_FLIP @ headers.affine)[:3, :2].T
    points_mm = (headers.positions_mm[:, None] + in_plane_mm).reshape(-1, 3)  # slices times corners
    indices = (points_mm - lps[:3, 3]) @ np.linalg.inv(lps[:3, :3]).T
    expected = [(x, y, z) for z in range(shape[2]) for x, y in corners]
    return bool(np.abs(indices - expected).max() < _SAME_VOXEL)


def _read(path: Any) -> Dataset:
    import pydicom

    try:
        return pydicom.dcmread(path, stop_before_pixels=True, specific_tags=_TAGS)
    except Exception as error:  # pydicom raises many types for damaged files
        raise bad_input(path, "the slices are still there to refer to", error, "Keep them until it ends.") from error


def _frames(header: Dataset, numbers: tuple[int, ...]) -> list[Dataset]:
    """Return one flat dataset per frame, in the order of ``numbers``, with the attributes of a single slice."""
    from pydicom.dataset import Dataset

    groups = {
        "PixelSpacing": "PixelMeasuresSequence",
        "ImageOrientationPatient": "PlaneOrientationSequence",
        "ImagePositionPatient": "PlanePositionSequence",
    }
    shared = (header.get("SharedFunctionalGroupsSequence") or [Dataset()])[0]
    frames = []
    for number in numbers:
        own = header.PerFrameFunctionalGroupsSequence[number]
        frame = Dataset()
        for keyword, group in groups.items():
            item = (own if group in own else shared)[group].value[0]
            setattr(frame, keyword, item[keyword].value)
        frames.append(frame)
    return frames


def _shared_uids(header: Dataset) -> dict[str, str]:
    from pydicom.uid import generate_uid

    series = _uid(header, "SeriesInstanceUID") or generate_uid(entropy_srcs=["series", _instance_uid(header)])
    study = _uid(header, "StudyInstanceUID") or generate_uid(entropy_srcs=["study", series])
    frame = _uid(header, "FrameOfReferenceUID") or generate_uid(entropy_srcs=["frame of reference", series])
    return {"StudyInstanceUID": study, "SeriesInstanceUID": series, "FrameOfReferenceUID": frame}


def _instance_uid(header: Dataset) -> str:
    uid = _uid(header, "SOPInstanceUID") or _uid(header.file_meta, "MediaStorageSOPInstanceUID")
    if not uid:
        raise ValueError(f"SOPInstanceUID is {header.get('SOPInstanceUID')!r}, which is no UID")
    return uid


def _uid(header: Dataset, keyword: str) -> str:
    """Return a UID, empty where it is missing or has other characters; scanners break the finer rules."""
    text = str(header.get(keyword) or "")
    return text if re.fullmatch(r"[0-9.]{1,64}", text) else ""


def _image(header: Dataset, uids: Mapping[str, str]) -> Dataset:
    """Return what every source image says, without where its pixels lie."""
    from pydicom.dataset import Dataset

    image = Dataset()
    image.SOPClassUID = _uid(header, "SOPClassUID") or _uid(header.file_meta, "MediaStorageSOPClassUID")
    image.SOPInstanceUID = _instance_uid(header)
    for keyword, uid in uids.items():
        setattr(image, keyword, uid)
    for keyword in _PATIENT_AND_STUDY:
        setattr(image, keyword, "")
    image.Modality = "CT"
    image.Rows, image.Columns = int(header.Rows), int(header.Columns)
    for keyword in _COMPRESSION:
        if keyword in header:
            setattr(image, keyword, header[keyword].value)
    return image


@dataclass(frozen=True)
class _Plane:
    """What all slices share, even where their headers differ in the last digit."""

    orientation: np.ndarray
    pixel_spacing_mm: np.ndarray
    step_mm: float


def _add_planes(images: list[Dataset], positions_mm: np.ndarray, plane: _Plane) -> None:
    """Say where the pixels of single-frame files lie."""
    for image, position in zip(images, positions_mm, strict=True):
        image.ImagePositionPatient = _decimals(position)
        image.ImageOrientationPatient = _decimals(plane.orientation)
        image.PixelSpacing = _decimals(plane.pixel_spacing_mm)
        image.SliceThickness = image.SpacingBetweenSlices = _decimals([plane.step_mm])[0]


def _add_frames(image: Dataset, header: Dataset, plane: _Plane) -> None:
    """Say where the pixels of a multi-frame file lie, of all its frames: references count them in the file's order."""
    from highdicom import PixelMeasuresSequence, PlaneOrientationSequence, PlanePositionSequence
    from pydicom.dataset import Dataset

    shared = Dataset()
    shared.PlaneOrientationSequence = PlaneOrientationSequence("PATIENT", plane.orientation.tolist())
    shared.PixelMeasuresSequence = PixelMeasuresSequence(plane.pixel_spacing_mm.tolist(), plane.step_mm, plane.step_mm)
    image.SharedFunctionalGroupsSequence = [shared]
    frames = []
    for frame in _frames(header, tuple(range(int(header.NumberOfFrames)))):
        item = Dataset()
        position = _numbers(frame, "ImagePositionPatient")
        item.PlanePositionSequence = PlanePositionSequence("PATIENT", position.tolist())
        frames.append(item)
    image.PerFrameFunctionalGroupsSequence = frames
    image.NumberOfFrames = len(frames)


def _step_mm(positions_mm: np.ndarray, orientation: np.ndarray) -> float:
    """Return the mean distance of neighbouring slices along their normal; 1 for a single one."""
    if len(positions_mm) == 1:
        return 1.0
    normal = np.cross(orientation[:3], orientation[3:])
    return float((positions_mm[-1] - positions_mm[0]) @ normal / (len(positions_mm) - 1))


def _allowed(header: Dataset, keyword: str) -> str:
    """Return the value as text, empty where it is missing or DICOM doesn't allow it."""
    from pydicom.config import RAISE
    from pydicom.datadict import dictionary_VR
    from pydicom.valuerep import DA, TM, validate_value

    vr = dictionary_VR(keyword)
    try:
        value = header.get(keyword)
        text = "" if value is None else str(value)
        validate_value(vr, text, RAISE)
        if vr in ("DA", "TM") and text:
            DA(text) if vr == "DA" else TM(text)
        if keyword == "PatientSex" and text not in ("", *_SEXES):
            raise ValueError(f"one of {', '.join(_SEXES)}")
    except Exception as error:  # pydicom raises many types for damaged values
        logger.warning("%s of the source is left empty in the DICOM outputs: %s", keyword, error)
        return ""
    return text


def _numbers(header: Dataset, keyword: str) -> np.ndarray:
    return np.array([float(value) for value in header[keyword].value])


def _decimals(values: Sequence[float] | np.ndarray) -> list[Any]:
    """Return numbers as decimal strings of at most 16 characters."""
    from pydicom.valuerep import DSfloat

    return [DSfloat(float(value), auto_format=True) for value in values]
