"""One CT scan, a NIfTI file or a DICOM series, as a tensor in Hounsfield units on its own grid."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Hashable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from monai.config import KeysCollection
from monai.data import MetaTensor
from monai.transforms import MapTransform
from monai.utils import SpaceKeys

from bundle.errors import bad_input
from bundle.read.checks import (
    MAX_SHEAR_DEGREES,
    UPRIGHT_DEGREES,
    check_affine,
    check_shape,
    check_shear,
    check_voxels,
    shear_degrees,
)
from bundle.read.dicom import Series
from bundle.read.dicom_pixels import read_voxels as read_dicom_voxels
from bundle.read.dicom_series import open_series
from bundle.read.dicom_slices import is_dicom, read_slices
from bundle.read.dicom_source import META_KEY as SOURCE_KEY
from bundle.read.finding import META_KEY as FINDINGS_KEY
from bundle.read.finding import Finding, note, to_text
from bundle.read.nifti import is_nifti, open_nifti, read_voxels

logger = logging.getLogger(__name__)

_LEVELS = {"note": logging.INFO, "warning": logging.WARNING}


@dataclass(frozen=True)
class ScanHeader:
    """What is known of a scan without its voxels.

    Attributes:
        shape: voxels along (X, Y, Z) of the file's own grid.
        affine: (4, 4), voxel to mm, RAS+.
        handle: the opened file, or the :class:`~bundle.read.dicom.Series`, for :func:`read_scan`.
        findings: what the user should know though the scan can be read.
    """

    shape: tuple[int, int, int]
    affine: np.ndarray
    handle: Any
    findings: tuple[Finding, ...] = ()


def read_scan(
    path: str | os.PathLike[str],
    check_intensities: bool = True,
    series_uid: str | None = None,
    max_shear_degrees: float = MAX_SHEAR_DEGREES,
) -> MetaTensor:
    """Return the scan as (1, X, Y, Z) in HU on its own grid, int16 where that loses nothing, else float32.

    The affine is voxel to mm in RAS+. The meta data has MONAI's keys (``filename_or_obj``, ``affine``,
    ``original_affine``, ``spatial_shape``, ``space``, ``original_channel_dim``), ``seconds_read``, what
    :func:`~bundle.read.finding.input_findings` reads and, of a DICOM scan, what
    :func:`~bundle.read.dicom_source.dicom_source` reads.

    Args:
        path: .nii or .nii.gz file, folder with the DICOM files of a CT series, or a multi-frame CT file.
        check_intensities: refuse values that are not Hounsfield units; the other checks are always made.
        series_uid: SeriesInstanceUID of the series to read, where ``path`` holds several or has it in subfolders.
        max_shear_degrees: how far the axes may be from right angles (gantry tilt).

    Raises:
        InputError: anything that :mod:`bundle.read.checks` refuses, a missing or an unreadable file.
    """
    started = time.perf_counter()
    source = Path(path)
    header = read_header(source, series_uid, max_shear_degrees)
    for finding in header.findings:
        logger.log(_LEVELS[finding["severity"]], "%s: %s", source, finding["text"])
    voxels = _read_voxels(source, header)
    check_voxels(source, voxels, hounsfield=check_intensities)
    scan = as_meta_tensor(voxels, header.affine, source)
    if isinstance(header.handle, Series):
        scan.meta[SOURCE_KEY] = header.handle.source.to_json()
    scan.meta[FINDINGS_KEY] = to_text(header.findings)
    scan.meta["seconds_read"] = time.perf_counter() - started
    return scan


def read_header(
    path: str | os.PathLike[str], series_uid: str | None = None, max_shear_degrees: float = MAX_SHEAR_DEGREES
) -> ScanHeader:
    """Return shape and affine of a scan, checked, without reading its voxels; arguments as for :func:`read_scan`."""
    source = Path(path)
    if not os.path.exists(source):
        raise bad_input(source, "the scan exists", "no such file or folder", "Correct the path.")
    if os.path.isdir(source) or is_dicom(source) and not is_nifti(source):
        series = _open_dicom(source, series_uid)
        header = ScanHeader(series.shape, series.affine, series, series.findings)
    elif is_nifti(source):
        image = open_nifti(source)
        check_affine(source, image.affine)
        header = ScanHeader(check_shape(source, image.shape), np.asarray(image.affine, dtype=float), image)
    else:
        remedy = "Convert it to NIfTI; unpack an archive first."
        rule = "a scan is a .nii or .nii.gz file or a DICOM folder"
        raise bad_input(source, rule, f"a file {source.suffix!r}", remedy)
    check_shear(source, header.affine, max_shear_degrees)
    shear = shear_degrees(header.affine)
    if shear <= UPRIGHT_DEGREES:
        return header
    text = f"The slices are stacked at {shear:.1f} degrees off the right angle (gantry tilt)."
    return replace(header, findings=(*header.findings, note("gantry_tilt", text)))


def as_meta_tensor(voxels: np.ndarray, affine: np.ndarray, source: Path) -> MetaTensor:
    """Return (X, Y, Z) voxels as a (1, X, Y, Z) tensor with the meta data that MONAI's readers give."""
    meta = {
        "filename_or_obj": str(source),
        "affine": torch.from_numpy(np.array(affine, dtype=float)),
        "original_affine": np.array(affine, dtype=float),
        "spatial_shape": np.array(voxels.shape),
        "space": SpaceKeys.RAS,
        "original_channel_dim": 0,
    }
    return MetaTensor(torch.from_numpy(voxels)[None], meta=meta)


class LoadScand(MapTransform):
    """Dictionary form of :func:`read_scan`: paths become scans; ``series_uid``, if there, says which series to read.

    Args:
        keys: keys that hold paths.
        check_intensities: refuse scans that are not in Hounsfield units.
        max_shear_degrees: how far the axes may be from right angles. By default a sheared scan is refused, because what
            follows takes axes at right angles for granted; :class:`~bundle.preprocess.upright.Uprightd` makes them so.
    """

    def __init__(
        self,
        keys: KeysCollection,
        check_intensities: bool = True,
        max_shear_degrees: float = UPRIGHT_DEGREES,
        allow_missing_keys: bool = False,
    ) -> None:
        super().__init__(keys, allow_missing_keys)
        self.check_intensities = check_intensities
        self.max_shear_degrees = max_shear_degrees

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        d = dict(data)
        for key in self.key_iterator(d):
            d[key] = read_scan(d[key], self.check_intensities, d.get("series_uid"), self.max_shear_degrees)
        return d


def _read_voxels(source: Path, header: ScanHeader) -> np.ndarray:
    try:
        if isinstance(header.handle, Series):
            return read_dicom_voxels(header.handle.slices)
        return read_voxels(source, header.handle)
    except MemoryError as error:
        received = "x".join(map(str, header.shape)) + " voxels"
        remedy = "Crop it to the abdomen, give thicker slices, or close other programs."
        raise bad_input(source, "the scan fits into memory", received, remedy) from error


def _open_dicom(source: Path, series_uid: str | None) -> Series:
    if source.is_file() and any(picture.frame is None for picture in read_slices(source)):
        remedy = f"Give the folder: {source.parent}."
        raise bad_input(source, "a DICOM scan is given as the folder of its slices", "one file of it", remedy)
    return open_series(source, series_uid)
