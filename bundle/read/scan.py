"""One CT scan, a NIfTI file or a DICOM series folder, as a tensor in Hounsfield units on its own grid."""

from __future__ import annotations

import os
import time
from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from monai.config import KeysCollection
from monai.data import MetaTensor
from monai.transforms import MapTransform
from monai.utils import SpaceKeys

from bundle.errors import bad_input
from bundle.read.checks import check_affine, check_shape, check_voxels
from bundle.read.dicom import is_dicom, open_series, read_series
from bundle.read.nifti import is_nifti, open_nifti, read_voxels


@dataclass(frozen=True)
class ScanHeader:
    """What is known of a scan without its voxels.

    Attributes:
        shape: voxels along (X, Y, Z) of the file's own grid.
        affine: (4, 4), voxel to mm, RAS+.
        handle: the opened file or series, for :func:`read_scan`.
    """

    shape: tuple[int, int, int]
    affine: np.ndarray
    handle: Any


def read_scan(path: str | os.PathLike[str], check_intensities: bool = True) -> MetaTensor:
    """Return the scan as (1, X, Y, Z) in HU on its own grid, int16 where that loses nothing, else float32.

    The affine is voxel to mm in RAS+. The meta data has MONAI's keys (``filename_or_obj``, ``affine``,
    ``original_affine``, ``spatial_shape``, ``space``, ``original_channel_dim``) and ``seconds_read``.

    Args:
        path: .nii or .nii.gz file, or a folder with the DICOM files of a CT series.
        check_intensities: refuse values that are not Hounsfield units; the other checks are always made.

    Raises:
        InputError: anything that :mod:`bundle.read.checks` refuses, a missing or an unreadable file.
    """
    started = time.perf_counter()
    source = Path(path)
    header = read_header(source)
    if source.is_dir():
        voxels = read_series(source, header.handle)
    else:
        voxels = read_voxels(source, header.handle)
    check_voxels(source, voxels, hounsfield=check_intensities)
    scan = as_meta_tensor(voxels, header.affine, source)
    scan.meta["seconds_read"] = time.perf_counter() - started
    return scan


def read_header(path: str | os.PathLike[str]) -> ScanHeader:
    """Return shape and affine of a scan, checked, without reading its voxels."""
    source = Path(path)
    if not source.exists():
        raise bad_input(source, "the scan exists", "no such file or folder", "Correct the path.")
    if source.is_dir():
        series = open_series(source)
        return ScanHeader(series.shape, series.affine, series)
    if not is_nifti(source):
        raise _unknown_format(source)
    image = open_nifti(source)
    check_affine(source, image.affine)
    return ScanHeader(check_shape(source, image.shape), np.asarray(image.affine, dtype=float), image)


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
    """Dictionary form of :func:`read_scan`: paths become scans.

    Args:
        keys: keys that hold paths.
        check_intensities: refuse scans that are not in Hounsfield units.
    """

    def __init__(self, keys: KeysCollection, check_intensities: bool = True, allow_missing_keys: bool = False) -> None:
        super().__init__(keys, allow_missing_keys)
        self.check_intensities = check_intensities

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        d = dict(data)
        for key in self.key_iterator(d):
            d[key] = read_scan(d[key], self.check_intensities)
        return d


def _unknown_format(source: Path) -> Exception:
    if is_dicom(source):
        remedy = f"Give the folder: {source.parent}."
        return bad_input(source, "a DICOM scan is given as the folder of its slices", "one file of it", remedy)
    remedy = "Convert it to NIfTI; unpack an archive first."
    return bad_input(source, "a scan is a .nii or .nii.gz file or a DICOM folder", f"a file {source.suffix!r}", remedy)
