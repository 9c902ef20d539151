"""What the headers of DICOM files say of each picture in them, without reading the pixels."""

from __future__ import annotations

import logging
import struct
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from bundle.errors import InputError, bad_input
from bundle.read.folder import files_in

CT_STORAGE = "1.2.840.10008.5.1.4.1.1.2"  # Enhanced and Legacy Converted Enhanced CT begin with it too
SECONDARY_CAPTURE = "1.2.840.10008.5.1.4.1.1.7"

# Attributes that a CT image has by the standard, and that a scan can be read without.
_USUAL = ("Manufacturer", "PatientID", "StudyInstanceUID", "FrameOfReferenceUID", "RescaleSlope", "RescaleIntercept")
# What tells the phases or time points of a series apart.
_PHASE = (
    "AcquisitionNumber",
    "TemporalPositionIdentifier",
    "TemporalPositionIndex",
    "NominalPercentageOfCardiacPhase",
    "ContrastBolusAgent",
    "AcquisitionTime",
    "ContentTime",
)
_TAGS = [
    "SOPClassUID",
    "SOPInstanceUID",
    "StudyInstanceUID",
    "SeriesInstanceUID",
    "SeriesNumber",
    "SeriesDescription",
    "ConvolutionKernel",
    "Modality",
    "ImageType",
    "NumberOfFrames",
    "SamplesPerPixel",
    "Rows",
    "Columns",
    "PixelSpacing",
    "ImagePositionPatient",
    "ImageOrientationPatient",
    "RescaleType",
    "BitsAllocated",
    "BitsStored",
    "HighBit",
    "PixelRepresentation",
    "SharedFunctionalGroupsSequence",
    "PerFrameFunctionalGroupsSequence",
    *_USUAL,
    *_PHASE,
]
# Where a multi-frame file keeps what a single-frame file has at its top level.
_GROUPS = {
    "ImagePositionPatient": "PlanePositionSequence",
    "ImageOrientationPatient": "PlaneOrientationSequence",
    "PixelSpacing": "PixelMeasuresSequence",
    "RescaleSlope": "PixelValueTransformationSequence",
    "RescaleIntercept": "PixelValueTransformationSequence",
    "RescaleType": "PixelValueTransformationSequence",
    "ConvolutionKernel": "CTReconstructionSequence",
    "TemporalPositionIndex": "FrameContentSequence",
    "NominalPercentageOfCardiacPhase": "CardiacSynchronizationSequence",
}
_OTHER_SUFFIXES = {".nii", ".gz", ".json", ".txt", ".csv", ".xml", ".png", ".jpg", ".zip", ".html", ".pdf", ".md"}
_HEADERS_KEPT = 20_000


@dataclass(frozen=True)
class Slice:
    """One picture, a file of its own or a frame of a multi-frame file; lengths in mm, directions and places in LPS.

    Attributes:
        file: where it is.
        frame: its number in a multi-frame file, from 0; None for a single-frame file.
        frames: pictures in the file.
        uid: SOPInstanceUID of the file.
        series: SeriesInstanceUID, "" where there is none; ``study`` likewise.
        number: SeriesNumber as text.
        modality: Modality, from the SOP class where it is missing.
        image_type: values of ImageType.
        kernel: ConvolutionKernel and SeriesDescription, which often names the kernel too.
        rows: pixels down the picture; ``columns`` across, ``samples`` numbers per pixel.
        pixel_spacing: between rows, between columns; None where the header doesn't say, as with the next two.
        position: centre of the first pixel.
        orientation: direction along a row (3), then down a column (3).
        slope: of the rescaling to HU, with ``intercept`` and the unit ``rescale_type``.
        bits: allocated, stored, position of the highest one.
        signed: whether the stored numbers are.
        syntax: UID of the transfer syntax.
        pixel_bytes: bytes in the file where the pixels begin and after; None for compressed pixels.
        cut_short: whether the file ends within its compressed pixels.
        phase: what may tell it apart from another slice at the same position, attribute by attribute.
        missing: usual attributes that the header lacks.
    """

    file: Path
    frame: int | None
    frames: int
    uid: str
    series: str
    study: str
    number: str
    modality: str
    sop_class: str
    image_type: tuple[str, ...]
    kernel: str
    rows: int
    columns: int
    samples: int
    pixel_spacing: tuple[float, ...] | None
    position: tuple[float, ...] | None
    orientation: tuple[float, ...] | None
    slope: float
    intercept: float
    rescale_type: str
    bits: tuple[int, int, int]
    signed: bool
    syntax: str
    pixel_bytes: int | None
    cut_short: bool
    phase: tuple[tuple[str, str], ...]
    missing: tuple[str, ...]

    @property
    def name(self) -> str:
        """The file's name, with the frame counted from 1 where it has several."""
        return self.file.name if self.frame is None else f"{self.file.name}, frame {self.frame + 1}"


def dicom_files(folder: Path, below: bool = False) -> Iterator[Path]:
    """Yield the DICOM files of a folder, and with ``below`` of its subfolders, as :func:`~bundle.read.folder.files_in`.

    DICOMDIR is left out.
    """
    for path in files_in(folder, below):
        if path.suffix.lower() not in _OTHER_SUFFIXES and path.name != "DICOMDIR" and is_dicom(path):
            yield path


def is_dicom(path: Path) -> bool:
    """Whether the file begins as a DICOM file does (128 bytes, then DICM)."""
    try:
        with path.open("rb") as file:
            return file.read(132)[128:] == b"DICM"
    except OSError:
        return False


def read_slices(path: Path) -> tuple[Slice, ...]:
    """Return the pictures of a DICOM file; one that holds no picture (a report, contours) counts as one.

    Headers are remembered, because a scan is looked at when it is looked for, checked and read.

    Raises:
        InputError: the header cannot be read, or is none of a DICOM object.
    """
    try:
        status = path.stat()
        return _read(str(path), status.st_size, status.st_mtime_ns)
    except InputError:
        raise
    except Exception as error:  # pydicom raises many types for damaged files
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise bad_input(path, "the DICOM header can be read", reason, "Copy or export the series again.") from error


@contextmanager
def quiet_pydicom() -> Iterator[None]:
    """Keep pydicom from warning of values that break a rule of the standard, and from logging what it then raises."""
    logger = logging.getLogger("pydicom")
    level = logger.level
    logger.setLevel(logging.CRITICAL + 1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            yield
        finally:
            logger.setLevel(level)


@lru_cache(maxsize=_HEADERS_KEPT)
def _read(path: str, size: int, modified: int) -> tuple[Slice, ...]:
    import pydicom

    with quiet_pydicom(), open(path, "rb") as file:
        header = pydicom.dcmread(file, stop_before_pixels=True, specific_tags=list(_TAGS))
        if not header.get("SOPClassUID") and not header.get("Modality"):
            received = "neither SOPClassUID nor Modality"
            raise bad_input(path, "a DICOM file says what it holds", received, "Copy or export the series again.")
        syntax = header.file_meta.TransferSyntaxUID
        pixel_bytes, cut_short = None, False
        if syntax.is_encapsulated:
            cut_short = _ends_early(file, size)
        elif not syntax.is_deflated:
            # the reader stops before the pixels and the 8 or 12 bytes that announce them
            pixel_bytes = max(0, size - file.tell() - (8 if syntax.is_implicit_VR else 12))
        return tuple(_slices(Path(path), header, str(syntax), pixel_bytes, cut_short))


def _ends_early(file: BinaryIO, size: int) -> bool:
    """Whether the file ends before the items of the compressed pixels, at whose tag it stands, do."""
    file.seek(12, 1)  # tag, VR and the undefined length
    while True:
        item = file.read(8)
        if len(item) < 8 or file.tell() > size:
            return True
        group, element, length = struct.unpack("<HHL", item)
        if (group, element) != (0xFFFE, 0xE000):
            return (group, element) != (0xFFFE, 0xE0DD)
        file.seek(length, 1)


def _slices(
    path: Path, header: Any, syntax: str, pixel_bytes: int | None, cut_short: bool
) -> Iterator[Slice]:
    modality = str(header.get("Modality") or "")
    sop_class = str(header.get("SOPClassUID") or "")
    if not modality:
        modality = "CT" if sop_class.startswith(CT_STORAGE) else "unknown"
    count = int(header.get("NumberOfFrames") or 1)
    multiframe = "PerFrameFunctionalGroupsSequence" in header and modality == "CT"
    per_frame = header.PerFrameFunctionalGroupsSequence if multiframe else [None]
    if multiframe and len(per_frame) != count:
        received = f"{count} frames with {len(per_frame)} headers"
        raise bad_input(path, "a multi-frame file says where each frame lies", received, "Export the series again.")
    shared = (header.get("SharedFunctionalGroupsSequence") or [None])[0] if multiframe else None
    for index, own in enumerate(per_frame):
        levels = [level for level in (own, shared, header) if level is not None]
        yield Slice(
            file=path,
            frame=index if multiframe else None,
            frames=count,
            uid=str(header.get("SOPInstanceUID") or ""),
            series=str(header.get("SeriesInstanceUID") or ""),
            study=str(header.get("StudyInstanceUID") or ""),
            number=_text(levels, "SeriesNumber"),
            modality=modality,
            sop_class=sop_class,
            image_type=tuple(str(value).upper() for value in _values(header.get("ImageType"))),
            kernel=f"{_text(levels, 'ConvolutionKernel')} {_text(levels, 'SeriesDescription')}".strip(),
            rows=int(header.get("Rows") or 0),
            columns=int(header.get("Columns") or 0),
            samples=int(header.get("SamplesPerPixel") or 1),
            pixel_spacing=_numbers(levels, "PixelSpacing", 2),
            position=_numbers(levels, "ImagePositionPatient", 3),
            orientation=_numbers(levels, "ImageOrientationPatient", 6),
            slope=(_numbers(levels, "RescaleSlope", 1) or (1.0,))[0],
            intercept=(_numbers(levels, "RescaleIntercept", 1) or (0.0,))[0],
            rescale_type=_text(levels, "RescaleType").upper(),
            bits=_bits(header),
            signed=bool(header.get("PixelRepresentation") or 0),
            syntax=syntax,
            pixel_bytes=pixel_bytes,
            cut_short=cut_short,
            phase=tuple((name, text) for name in _PHASE if (text := _text(levels, name))),
            missing=tuple(name for name in _USUAL if _find(levels, name) in (None, "")),
        )


def _bits(header: Any) -> tuple[int, int, int]:
    allocated = int(header.get("BitsAllocated") or 16)
    stored = int(header.get("BitsStored") or allocated)
    high = header.get("HighBit")
    return allocated, stored, stored - 1 if high is None else int(high)


def _find(levels: list[Any], name: str) -> Any:
    """Return an attribute from the first level that has it, directly or in its functional group."""
    for level in levels:
        if level.get(name) not in (None, ""):
            return level.get(name)
        items = level.get(_GROUPS[name]) if name in _GROUPS else None
        if items and items[0].get(name) not in (None, ""):
            return items[0].get(name)
    return None


def _text(levels: list[Any], name: str) -> str:
    try:
        return " ".join(str(value) for value in _values(_find(levels, name)))
    except (TypeError, ValueError, OverflowError):  # an attribute that nothing depends on may be damaged
        return ""


def _numbers(levels: list[Any], name: str, count: int) -> tuple[float, ...] | None:
    value = _find(levels, name)
    if value is None:
        return None
    numbers = tuple(float(number) for number in _values(value))
    if len(numbers) != count or not np.isfinite(numbers).all():
        raise ValueError(f"{name} is {value}, not {count} finite numbers")
    return numbers


def _values(value: Any) -> list[Any]:
    if value is None or isinstance(value, (str, bytes, float, int)):
        return [] if value is None else [value]
    return list(value) if hasattr(value, "__iter__") else [value]
