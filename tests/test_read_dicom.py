from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
import pydicom
import pytest
import torch
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, generate_uid

from bundle.errors import InputError
from bundle.read import read_scan

# Rows run to the patient's left, columns to the back (LPS +x, +y); slices are 2.5 mm apart, feet to head.
UID = generate_uid(entropy_srcs=["series"])


def hu(index: int) -> np.ndarray:
    """(rows 10, columns 9) of slice ``index``: a value of its own in each pixel."""
    return (np.arange(90).reshape(10, 9) * 10 - 700 + index * 13).astype(np.int16)


def write_slice(folder: Path, index: int, **changes) -> Path:
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = CTImageStorage
    meta.MediaStorageSOPInstanceUID = generate_uid()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    # file names run against the positions: neither they nor instance numbers may order the slices
    path = folder / f"{100 - index + len(list(folder.iterdir())) / 1000}"
    slice_ = FileDataset(str(path), {}, file_meta=meta, preamble=b"\0" * 128)
    slice_.SOPClassUID = CTImageStorage
    slice_.SOPInstanceUID = meta.MediaStorageSOPInstanceUID
    slice_.StudyInstanceUID = "1.2.3"
    slice_.SeriesInstanceUID = UID
    slice_.Modality = "CT"
    slice_.Rows, slice_.Columns = 10, 9
    slice_.PixelSpacing = [0.8, 0.6]
    slice_.ImagePositionPatient = [-20, -30, 100 + 2.5 * index]
    slice_.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
    slice_.SamplesPerPixel, slice_.PhotometricInterpretation = 1, "MONOCHROME2"
    slice_.BitsAllocated, slice_.BitsStored, slice_.HighBit, slice_.PixelRepresentation = 16, 12, 11, 0
    slice_.RescaleSlope, slice_.RescaleIntercept = 1, -1024
    slice_.PixelData = (hu(index) + 1024).astype(np.uint16).tobytes()
    for name, value in changes.items():
        setattr(slice_, name, value)
    if pydicom.__version__ < "3":  # pydicom 3 knows it from the transfer syntax
        slice_.is_little_endian, slice_.is_implicit_VR = True, False
    slice_.save_as(path)
    return path


@pytest.fixture
def series(tmp_path: Path) -> Path:
    for index in range(9):
        write_slice(tmp_path, index)
    return tmp_path


def test_slices_are_stacked_by_position(series):
    scan = read_scan(series)
    assert scan.shape == (1, 9, 10, 9)
    assert scan.dtype == torch.int16
    for index in range(9):
        np.testing.assert_array_equal(scan[0, :, :, index].numpy(), hu(index).T)


def test_the_affine_is_that_of_the_first_slice_in_ras(series):
    expected = [[-0.6, 0, 0, 20], [0, -0.8, 0, 30], [0, 0, 2.5, 100], [0, 0, 0, 1]]
    np.testing.assert_allclose(read_scan(series).affine.numpy(), expected)


def test_fractional_slopes_give_float32(tmp_path):
    for index in range(8):
        write_slice(tmp_path, index, RescaleSlope=0.5, RescaleIntercept=-300)
    scan = read_scan(tmp_path)
    assert scan.dtype == torch.float32
    np.testing.assert_allclose(scan[0, :, :, 3].numpy(), ((hu(3) + 1024) * 0.5 - 300).T)


def test_the_ct_series_with_most_slices_is_read_and_the_other_named(series, caplog):
    for index in range(3):
        write_slice(series, index, SeriesInstanceUID="1.2.3.4")
    with caplog.at_level(logging.WARNING):
        assert read_scan(series).shape[-1] == 9
    assert "series 1.2.3.4 (CT, 3 files) is not read" in caplog.text


def test_a_localizer_is_left_out(series):
    write_slice(series, 3, ImageType=["ORIGINAL", "PRIMARY", "LOCALIZER"])
    assert read_scan(series).shape[-1] == 9


def test_files_of_other_kinds_are_left_out(series):
    (series / "notes.txt").write_text("x")
    (series / "DICOMDIR").write_bytes(b"\0" * 128 + b"DICM")
    assert read_scan(series).shape[-1] == 9


def test_a_missing_slice_is_named_by_position(series):
    next(path for path in series.iterdir() if pydicom.dcmread(path).ImagePositionPatient[2] == 107.5).unlink()
    with pytest.raises(InputError, match=r"evenly spaced, here by 2.5 mm; received a gap between 105.00 mm and 110.00"):
        read_scan(series)


def test_a_duplicate_slice_is_named_by_position(series):
    write_slice(series, 3)
    with pytest.raises(InputError, match=r"each position has one slice; received two slices at 107.50 mm"):
        read_scan(series)


def test_mixed_orientations_are_refused(series):
    write_slice(series, 9, ImageOrientationPatient=[0, 1, 0, 0, 0, -1])
    with pytest.raises(InputError, match="share one ImageOrientationPatient"):
        read_scan(series)


def test_gantry_tilt_is_refused_in_degrees(tmp_path):
    for index in range(8):
        y = -30 + 2.5 * index * np.tan(np.radians(12))
        write_slice(tmp_path, index, ImagePositionPatient=[-20, round(y, 4), 100 + 2.5 * index])
    with pytest.raises(InputError, match=r"12.0 degrees of tilt"):
        read_scan(tmp_path)


def test_mr_is_refused_by_name(tmp_path):
    for index in range(8):
        write_slice(tmp_path, index, Modality="MR")
    with pytest.raises(InputError, match="modality MR"):
        read_scan(tmp_path)


def test_a_multi_frame_file_is_refused(series):
    write_slice(series, 9, NumberOfFrames=4)
    with pytest.raises(InputError, match="4 frames"):
        read_scan(series)


def test_truncated_pixels_are_refused(tmp_path):
    for index in range(8):
        changes = {"PixelData": b"\0" * 20} if index == 4 else {}
        write_slice(tmp_path, index, **changes)
    with pytest.raises(InputError, match="a slice holds 180 bytes of pixels; received 20 bytes"):
        read_scan(tmp_path)


def test_one_dicom_file_is_refused_with_its_folder(series):
    path = next(series.iterdir())
    with pytest.raises(InputError, match="Give the folder"):
        read_scan(path)


def test_a_folder_without_dicom_is_refused(tmp_path):
    with pytest.raises(InputError, match="no DICOM file"):
        read_scan(tmp_path)
