"""NIfTI files: their header, and their voxels with no more memory than the result and a few slices."""

from __future__ import annotations

import zlib
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
from nibabel.filebasedimages import ImageFileError
from nibabel.spatialimages import HeaderDataError

from bundle.errors import InputError, bad_input
from bundle.read.checks import check_shape

SUFFIXES = (".nii", ".nii.gz")

_READ_ERRORS = (OSError, EOFError, ValueError, KeyError, OverflowError, zlib.error, ImageFileError, HeaderDataError)
_SLICES_AT_ONCE = 16
_INT16 = np.iinfo(np.int16)


def is_nifti(path: Path) -> bool:
    """Whether the name ends in .nii or .nii.gz."""
    return path.name.lower().endswith(SUFFIXES)


def open_nifti(path: Path) -> Any:
    """Return the nibabel image, its header read and its voxels not; its shape and affine have been looked at."""
    try:
        # the open handle lets slices of a compressed file be read one after another without starting over
        image = nib.load(path, keep_file_open=True)
        if not isinstance(image, nib.Nifti1Pair):  # nibabel tells formats by their content
            raise ValueError(f"{type(image).__name__} instead of NIfTI")
        affine, header, dtype = image.affine, image.header, image.get_data_dtype()
    except Exception as error:  # nibabel raises many types for damaged headers
        raise _unreadable(path, error) from error
    check_shape(path, image.shape)
    if affine is None or not (int(header["sform_code"]) or int(header["qform_code"])):
        remedy = "Convert the scan from DICOM again, for example with dcm2niix, which writes them."
        raise bad_input(path, "the header says where the voxels lie", "sform and qform of code 0", remedy)
    if dtype.kind not in "iuf":
        received = f"the data type {dtype}"
        raise bad_input(path, "a voxel is one real number", received, "Give the scan without colour or phase.")
    return image


def read_voxels(path: Path, image: Any) -> np.ndarray:
    """Return the scaled voxels (X, Y, Z), int16 if that loses nothing, else float32, in the file's own order."""
    shape = check_shape(path, image.shape)
    scaled = (image.dataobj.slope, image.dataobj.inter) != (1, 0)
    plain = not scaled and np.can_cast(image.get_data_dtype(), np.int16)
    voxels = np.empty(shape, dtype=np.int16 if plain else np.float32, order="F")
    integral = True
    try:
        for start in range(0, shape[2], _SLICES_AT_ONCE):
            stop = min(start + _SLICES_AT_ONCE, shape[2])
            # nibabel scales in float64: of a few slices at a time that costs no memory
            slices = np.asarray(image.dataobj[(..., slice(start, stop)) + (0,) * (len(image.shape) - 3)])
            integral = integral and (plain or _fits_int16(slices))
            with np.errstate(over="ignore"):
                voxels[:, :, start:stop] = slices
    except _READ_ERRORS as error:
        raise _unreadable(path, error) from error
    return voxels.astype(np.int16) if integral and not plain else voxels


def _fits_int16(values: np.ndarray) -> bool:
    if not (values.min() >= _INT16.min and values.max() <= _INT16.max):
        return False
    return values.dtype.kind in "iu" or bool((values == np.rint(values)).all())


def _unreadable(path: Path, error: BaseException) -> InputError:
    reason = str(error).splitlines()[0] if str(error) else type(error).__name__
    remedy = "Copy or export it again: it may be truncated or not a NIfTI file."
    return bad_input(path, "the image can be read", reason, remedy)
