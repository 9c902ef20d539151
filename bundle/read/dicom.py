"""A folder of DICOM files: which series is the CT to read, its slices in order, its grid and its voxels.

SimpleITK (GDCM) decodes the pixels, pydicom (2 or 3) reads the headers; both are imported on first use.
"""

from __future__ import annotations

import logging
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from bundle.errors import bad_input
from bundle.read.checks import check_affine, check_shape

logger = logging.getLogger(__name__)

_LPS_TO_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])
_CT_STORAGE = "1.2.840.10008.5.1.4.1.1.2"
_TAGS = [
    "SOPClassUID",
    "SeriesInstanceUID",
    "Modality",
    "ImageType",
    "NumberOfFrames",
    "SamplesPerPixel",
    "Rows",
    "Columns",
    "PixelSpacing",
    "ImagePositionPatient",
    "ImageOrientationPatient",
    "RescaleSlope",
    "RescaleIntercept",
    "BitsStored",
    "PixelRepresentation",
    "BitsAllocated",
]
_OTHER_SUFFIXES = {".nii", ".gz", ".json", ".txt", ".csv", ".xml", ".png", ".jpg", ".zip", ".html", ".pdf", ".md"}
_GAP_TOLERANCE = 0.1  # of the distance between neighbouring slices


@dataclass(frozen=True)
class Series:
    """The slices of one CT series in ascending position along their normal.

    Attributes:
        files: one per slice.
        shape: (X, Y, Z) with X along the rows' direction (columns of the picture), Y down the picture, Z over slices.
        affine: (4, 4) voxel to mm, RAS+.
        integral: every rescaled value is a whole number.
        int16: int16 holds every value that the stored bits allow, so that the decoder may write it at once.
        uid: SeriesInstanceUID.
    """

    files: tuple[Path, ...]
    shape: tuple[int, int, int]
    affine: np.ndarray
    integral: bool
    int16: bool
    uid: str


def has_dicom(folder: Path) -> bool:
    """Whether a file directly in this folder begins as a DICOM file does."""
    return any(is_dicom(path) for path in _candidates(folder))


def is_dicom(path: Path) -> bool:
    """Whether the file begins as a DICOM file does (128 bytes, then DICM)."""
    try:
        with path.open("rb") as file:
            return file.read(132)[128:] == b"DICM"
    except OSError:
        return False


def open_series(folder: Path) -> Series:
    """Return the CT series with the most slices of those whose files lie directly in the folder.

    Localizers (scouts) are left out; other series are named in the log. MR and other modalities, multi-frame files,
    colour, duplicate or missing slices and slices of different orientation or size are refused.
    """
    slices = _read_headers(folder)
    by_series: dict[str, list[Any]] = defaultdict(list)
    for header in slices:
        by_series[str(header.get("SeriesInstanceUID", ""))].append(header)
    usable = {uid: headers for uid, headers in by_series.items() if _is_ct_series(headers)}
    if not usable:
        modalities = sorted({_modality(header) for header in slices})
        raise bad_input(
            folder,
            "the scan is a CT series",
            f"modality {', '.join(modalities)} without CT slices",
            "Give the folder of the axial CT reconstruction.",
        )
    uid = max(usable, key=_by_slice_count(usable))
    for other, headers in by_series.items():
        if other != uid:
            logger.warning(
                "%s: series %s (%s, %d files) is not read, %s has more CT slices",
                folder,
                other,
                _modality(headers[0]),
                len(headers),
                uid,
            )
    return _arrange(folder, uid, usable[uid])


def read_series(folder: Path, series: Series) -> np.ndarray:
    """Return the voxels (X, Y, Z) in Hounsfield units, int16 if that loses nothing, else float32."""
    import SimpleITK

    reader = SimpleITK.ImageSeriesReader()
    reader.SetFileNames([str(path) for path in series.files])
    reader.SetOutputPixelType(SimpleITK.sitkInt16 if series.int16 else SimpleITK.sitkFloat32)
    default_warnings = SimpleITK.ProcessObject.GetGlobalWarningDisplay()
    SimpleITK.ProcessObject.SetGlobalWarningDisplay(False)  # the positions were checked: by name, not by C++ on stderr
    try:
        image = reader.Execute()
    except RuntimeError as error:
        reason = next((line for line in reversed(str(error).splitlines()) if line.strip()), "a decoder error")
        raise bad_input(
            folder,
            "every slice can be decoded",
            reason.strip(),
            "Export the series again, uncompressed if the decoder is the trouble.",
        ) from error
    finally:
        SimpleITK.ProcessObject.SetGlobalWarningDisplay(default_warnings)
    voxels = SimpleITK.GetArrayViewFromImage(image)
    fits = series.integral and voxels.min() >= -32768 and voxels.max() <= 32767
    return voxels.astype(np.int16 if fits else np.float32).transpose(2, 1, 0)


def _candidates(folder: Path) -> list[Path]:
    return [
        path
        for path in sorted(folder.iterdir())
        if path.suffix.lower() not in _OTHER_SUFFIXES and path.name[0] != "." and path.name != "DICOMDIR"
        if path.is_file()
    ]


def _read_headers(folder: Path) -> list[Any]:
    headers = []
    for path in _candidates(folder):
        if not is_dicom(path):
            continue
        try:
            headers.append(_read_header(path))
        except Exception as error:  # pydicom raises many types for damaged files
            raise bad_input(path, "the DICOM header can be read", error, "Export the series again.") from error
    if not headers:
        remedy = "Give a .nii or .nii.gz file or the folder that holds the DICOM files of a CT series."
        raise bad_input(folder, "a folder given as a scan holds DICOM files", "no DICOM file", remedy)
    return headers


def _read_header(path: Path) -> Any:
    import pydicom

    with path.open("rb") as file:
        header = pydicom.dcmread(file, stop_before_pixels=True, specific_tags=_TAGS)
        header.filename = str(path)
        # the reader stops before the pixels and the 8 or 12 bytes that announce them
        header.bytes_after_header = path.stat().st_size - file.tell()
    return header


def _modality(header: Any) -> str:
    if header.get("Modality"):
        return str(header.Modality)
    return "CT" if str(header.get("SOPClassUID", "")).startswith(_CT_STORAGE) else "unknown"


def _is_ct_series(headers: list[Any]) -> bool:
    return any(_is_slice(header) for header in headers)


def _is_slice(header: Any) -> bool:
    return _modality(header) == "CT" and "LOCALIZER" not in (header.get("ImageType") or [])


def _by_slice_count(series: dict[str, list[Any]]) -> Any:
    def key(uid: str) -> tuple[int, str]:
        return len(series[uid]), uid

    return key


def _arrange(folder: Path, uid: str, headers: list[Any]) -> Series:
    slices = [header for header in headers if _is_slice(header)]
    for header in slices:
        _check_slice(header)
    first = slices[0]
    for name in ("Rows", "Columns", "PixelSpacing", "ImageOrientationPatient"):
        odd = [h for h in slices if not np.allclose(_numbers(h, name), _numbers(first, name), atol=1e-3)]
        if odd:
            raise bad_input(
                Path(odd[0].filename),
                f"all slices of a series share one {name}",
                f"{_numbers(odd[0], name).tolist()} beside {_numbers(first, name).tolist()} "
                f"({len(odd)} of {len(slices)} files)",
                "Give the axial reconstruction alone.",
            )
    orientation = _numbers(first, "ImageOrientationPatient")
    normal = np.cross(orientation[:3], orientation[3:])
    positions = np.array([_numbers(header, "ImagePositionPatient") for header in slices])
    order = np.argsort(positions @ normal, kind="stable")
    ordered = [slices[index] for index in order]
    shape = check_shape(folder, (int(first.Columns), int(first.Rows), len(ordered)))
    _check_positions(positions[order] @ normal, ordered)
    affine = _affine(orientation, _numbers(first, "PixelSpacing"), positions[order])
    check_affine(folder, affine)
    files = tuple(Path(header.filename) for header in ordered)
    integral = all(map(_is_integral, ordered))
    return Series(files, shape, affine, integral, integral and all(map(_fits_int16, ordered)), uid)


def _check_slice(header: Any) -> None:
    path = Path(header.filename)
    if int(header.get("NumberOfFrames") or 1) > 1:
        raise bad_input(
            path,
            "a DICOM file holds one slice",
            f"{header.NumberOfFrames} frames",
            "Convert the multi-frame file to NIfTI, for example with dcm2niix.",
        )
    if int(header.get("SamplesPerPixel") or 1) != 1:
        raise bad_input(path, "a voxel is one number", "a colour image", "Give the CT reconstruction itself.")
    for name in ("Rows", "Columns", "PixelSpacing", "ImagePositionPatient", "ImageOrientationPatient"):
        if not header.get(name):
            raise bad_input(path, f"a CT slice has {name}", "none", "Export the series again with its full header.")
    _check_pixel_length(path, header)


def _check_pixel_length(path: Path, header: Any) -> None:
    """Refuse a slice with fewer bytes than its pixels take, which GDCM would fill up without a word."""
    syntax = header.file_meta.TransferSyntaxUID
    if syntax.is_compressed or syntax.is_deflated:
        return  # the decoder notices it
    needed = int(header.Rows) * int(header.Columns) * int(header.get("BitsAllocated") or 16) // 8
    stored = max(0, header.bytes_after_header - (8 if syntax.is_implicit_VR else 12))
    if stored < needed:
        remedy = "The file is truncated: copy or export the series again."
        raise bad_input(path, f"a slice holds {needed} bytes of pixels", f"{stored} bytes", remedy)


def _check_positions(positions_mm: np.ndarray, ordered: list[Any]) -> None:
    gaps_mm = np.diff(positions_mm)
    step_mm = float(np.median(gaps_mm))
    for index, gap_mm in enumerate(gaps_mm):
        names = f"{Path(ordered[index].filename).name} and {Path(ordered[index + 1].filename).name}"
        where = f"{positions_mm[index]:.2f} mm and {positions_mm[index + 1]:.2f} mm ({names})"
        source = Path(ordered[index].filename).parent
        if gap_mm < 1e-3:
            raise bad_input(
                source,
                "each position has one slice",
                f"two slices at {where}",
                "Remove the duplicates, or give one phase of the series.",
            )
        if abs(gap_mm - step_mm) > _GAP_TOLERANCE * step_mm:
            raise bad_input(
                source,
                f"slices are evenly spaced, here by {step_mm:.3g} mm",
                f"a gap between {where}",
                "Add the missing slices or resample the series to even spacing.",
            )


def _affine(orientation: np.ndarray, pixel_spacing: np.ndarray, positions: np.ndarray) -> np.ndarray:
    affine = np.eye(4)
    affine[:3, 0] = orientation[:3] * pixel_spacing[1]
    affine[:3, 1] = orientation[3:] * pixel_spacing[0]
    affine[:3, 2] = (positions[-1] - positions[0]) / (len(positions) - 1)
    affine[:3, 3] = positions[0]
    return _LPS_TO_RAS @ affine


def _is_integral(header: Any) -> bool:
    slope, intercept = float(header.get("RescaleSlope", 1)), float(header.get("RescaleIntercept", 0))
    return slope == 1 and intercept == int(intercept)


def _fits_int16(header: Any) -> bool:
    bits, signed = int(header.get("BitsStored") or 16), int(header.get("PixelRepresentation") or 0)
    low, high = (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1) if signed else (0, 2**bits - 1)
    intercept = float(header.get("RescaleIntercept", 0))
    return low + intercept >= -32768 and high + intercept <= 32767


def _numbers(header: Any, name: str) -> np.ndarray:
    return np.atleast_1d(np.array(header.get(name), dtype=float))
