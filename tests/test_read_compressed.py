"""Compressed transfer syntaxes: RLE and JPEG-LS are encoded by pydicom, the others by SimpleITK."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pydicom
import pytest
import SimpleITK
from pydicom.encaps import encapsulate, generate_frames
from pydicom.uid import JPEG2000Lossless, JPEGLosslessSV1, JPEGLSLossless, RLELossless

from bundle.errors import InputError
from bundle.read import jpeg, read_scan
from tests.dicom_phantoms import hu, write_multiframe, write_series

COMPRESSORS = {JPEGLosslessSV1: "JPEG", JPEG2000Lossless: "JPEG2000"}
SYNTAXES = [RLELossless, JPEGLSLossless, *COMPRESSORS]


def compress(path: Path, syntax: str) -> None:
    """Encode the pixels of a file anew and leave the rest of it as it is."""
    data = pydicom.dcmread(path)
    if syntax not in COMPRESSORS:
        data.compress(syntax, generate_instance_uid=False)
    else:
        pictures = data.pixel_array.reshape(-1, data.Rows, data.Columns)
        data.PixelData = encapsulate([encode(picture, syntax, path) for picture in pictures])
        data["PixelData"].VR = "OB"
        data.file_meta.TransferSyntaxUID = syntax
    data.save_as(path)


def encode(picture: np.ndarray, syntax: str, path: Path) -> bytes:
    scratch = f"{path}.encoded.dcm"
    image = SimpleITK.GetImageFromArray(picture.astype(np.uint16))
    SimpleITK.WriteImage(image, scratch, useCompression=True, compressor=COMPRESSORS[syntax])
    encoded = pydicom.dcmread(scratch)
    Path(scratch).unlink()
    assert encoded.file_meta.TransferSyntaxUID == syntax
    return next(generate_frames(encoded.PixelData, number_of_frames=1))


@pytest.mark.parametrize("syntax", SYNTAXES, ids=lambda uid: uid.keyword)
def test_a_compressed_series_has_the_voxels_of_the_plain_one(tmp_path, syntax):
    write_series(tmp_path)
    for path in tmp_path.iterdir():
        compress(path, syntax)
        assert pydicom.dcmread(path).file_meta.TransferSyntaxUID == syntax
    scan = read_scan(tmp_path)
    for index in range(9):
        np.testing.assert_array_equal(scan[0, :, :, index].numpy(), hu(index).T)


def test_a_series_may_be_compressed_in_part_and_in_several_ways(tmp_path):
    write_series(tmp_path)
    for path, syntax in zip(sorted(tmp_path.iterdir()), SYNTAXES):
        compress(path, syntax)
    scan = read_scan(tmp_path)
    for index in range(9):
        np.testing.assert_array_equal(scan[0, :, :, index].numpy(), hu(index).T)


@pytest.mark.parametrize("syntax", SYNTAXES, ids=lambda uid: uid.keyword)
def test_a_compressed_multi_frame_file_has_the_voxels_of_the_plain_one(tmp_path, syntax):
    order = [8, 7, 6, 5, 0, 1, 2, 3, 4]
    path = write_multiframe(tmp_path / "scan.dcm", order)
    compress(path, syntax)
    scan = read_scan(path)
    for index in range(9):
        np.testing.assert_array_equal(scan[0, :, :, index].numpy(), hu(index).T)


@pytest.mark.parametrize("syntax", SYNTAXES, ids=lambda uid: uid.keyword)
def test_a_truncated_compressed_slice_is_named(tmp_path, syntax):
    write_series(tmp_path)
    paths = sorted(tmp_path.iterdir())
    for path in paths:
        compress(path, syntax)
    paths[3].write_bytes(paths[3].read_bytes()[:-60])
    with pytest.raises(InputError, match=str(paths[3])):
        read_scan(tmp_path)


def test_a_damaged_jpeg_slice_is_named(tmp_path):
    write_series(tmp_path)
    paths = sorted(tmp_path.iterdir())
    for path in paths:
        compress(path, JPEGLosslessSV1)
    data = pydicom.dcmread(paths[5])
    # the table of one offset (8 + 4 bytes) and the head of the only item (8 bytes) stay
    data.PixelData = data.PixelData[:20] + bytes(len(data.PixelData) - 20)
    data.save_as(paths[5])
    with pytest.raises(InputError, match=f"{paths[5]}: every slice can be decoded; received JPEG Lossless"):
        read_scan(tmp_path)


def test_a_picture_that_crashes_the_decoder_is_named(tmp_path):
    write_series(tmp_path)
    paths = sorted(tmp_path.iterdir())
    for path in paths:
        compress(path, JPEGLosslessSV1)
    data = pydicom.dcmread(paths[5])
    frame_header = data.PixelData.index(b"\xff\xc3")
    # 214 bits per pixel, at which GDCM ends with a segmentation fault
    data.PixelData = data.PixelData[: frame_header + 4] + b"\xd6" + data.PixelData[frame_header + 5 :]
    data.save_as(paths[5])
    with pytest.raises(InputError, match=f"{paths[5]}: every slice can be decoded"):
        read_scan(tmp_path)


def test_a_decoder_that_does_not_end_is_stopped(tmp_path, monkeypatch):
    monkeypatch.setattr(jpeg, "_SECONDS", 0.01)
    monkeypatch.setattr(jpeg, "_SECONDS_PER_PICTURE", 0)
    write_series(tmp_path)
    for path in tmp_path.iterdir():
        compress(path, JPEGLosslessSV1)
    with pytest.raises(InputError, match="every slice can be decoded.*took more than 0.01 seconds"):
        read_scan(tmp_path)


def test_a_syntax_without_decoder_is_named_with_its_package(tmp_path):
    write_series(tmp_path)
    for path in tmp_path.iterdir():
        data = pydicom.dcmread(path)
        data.compress(RLELossless)
        data.file_meta.TransferSyntaxUID = "1.2.840.10008.1.2.4.201"
        data.save_as(path)
    with pytest.raises(InputError, match="High-Throughput JPEG 2000.*pip install pylibjpeg pylibjpeg-openjpeg"):
        read_scan(tmp_path)


def test_a_syntax_that_nobody_decodes_is_named(tmp_path):
    write_series(tmp_path)
    for path in tmp_path.iterdir():
        data = pydicom.dcmread(path)
        data.compress(RLELossless)
        data.file_meta.TransferSyntaxUID = "1.2.840.10008.1.2.4.100"
        data.save_as(path)
    with pytest.raises(InputError, match="transfer syntax MPEG2.*which pydicom doesn't know"):
        read_scan(tmp_path)
