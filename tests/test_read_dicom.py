from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
import pydicom
import pytest
import torch

from bundle.errors import InputError
from bundle.read import LoadScand, check_datalist, dicom_source, input_findings, read_scan
from tests.dicom_phantoms import UID, hu, write_series, write_slice


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


@pytest.mark.parametrize("orientation", [[0, 1, 0, 0, 0, -1], [-1, 0, 0, 0, 1, 0]])
def test_a_slice_of_another_orientation_is_named(series, orientation):
    path = write_slice(series, 0, ImageOrientationPatient=orientation, ImagePositionPatient=[-20, -30, 97.5])
    rule = rf"{path}: all slices of a series share one ImageOrientationPatient; .* at \(-20.00, -30.00, 97.50\) mm"
    with pytest.raises(InputError, match=rule):
        read_scan(series)


def write_tilted(folder: Path, degrees: float) -> Path:
    for index in range(8):
        y = -30 + 2.5 * index * np.tan(np.radians(degrees))
        write_slice(folder, index, ImagePositionPatient=[-20, round(y, 4), 100 + 2.5 * index])
    return folder


def test_gantry_tilt_is_read_as_shear_and_said_in_degrees(tmp_path):
    scan = read_scan(write_tilted(tmp_path, 12))
    np.testing.assert_allclose(scan.affine[:3, 2].numpy(), [0, -2.5 * np.tan(np.radians(12)), 2.5], atol=1e-4)
    assert [finding["text"] for finding in input_findings(scan.meta) if finding["name"] == "gantry_tilt"] == [
        "The slices are stacked at 12.0 degrees off the right angle (gantry tilt)."
    ]


def test_a_gantry_does_not_tilt_by_more_than_30_degrees(tmp_path):
    with pytest.raises(InputError, match=r"right angles to 30.5 degrees \(no gantry tilt\); received 33.0 degrees"):
        read_scan(write_tilted(tmp_path, 33))


def test_gantry_tilt_is_refused_where_nothing_makes_it_upright(tmp_path):
    data = {"image": str(write_tilted(tmp_path, 12))}
    with pytest.raises(InputError, match="12.0 degrees of tilt"):
        LoadScand("image")(data)
    with pytest.raises(InputError, match="12.0 degrees of tilt"):
        check_datalist([data])
    assert LoadScand("image", max_shear_degrees=30)(data)["image"].shape == (1, 9, 10, 8)


def test_mr_is_refused_by_name(tmp_path):
    for index in range(8):
        write_slice(tmp_path, index, Modality="MR")
    with pytest.raises(InputError, match="modality MR"):
        read_scan(tmp_path)


def test_a_multi_frame_file_without_positions_is_refused(series):
    write_slice(series, 9, NumberOfFrames=4)
    with pytest.raises(InputError, match="4 frames"):
        read_scan(series)


def test_truncated_pixels_are_refused(tmp_path):
    for index in range(8):
        changes = {"PixelData": b"\0" * 20} if index == 4 else {}
        write_slice(tmp_path, index, **changes)
    with pytest.raises(InputError, match="a slice holds 180 bytes of pixels; received 20 bytes"):
        read_scan(tmp_path)


def test_a_truncated_slice_is_named_by_file_and_position(tmp_path):
    paths = [write_slice(tmp_path, index) for index in range(8)]
    paths[4].write_bytes(paths[4].read_bytes()[:-80])
    with pytest.raises(InputError, match=rf"{paths[4]}: .*received 100 bytes, slice at \(-20.00, -30.00, 110.00\) mm"):
        read_scan(tmp_path)


def test_a_slice_whose_header_is_damaged_is_named(series):
    damaged = series / "damaged"
    damaged.write_bytes(next(series.iterdir()).read_bytes()[:140])
    with pytest.raises(InputError, match=f"{damaged}: "):
        read_scan(series)


def test_a_second_missing_slice_is_counted(tmp_path):
    for index in (0, 1, 2, 4, 5, 6, 9, 10):
        write_slice(tmp_path, index)
    with pytest.raises(InputError, match=r"105.00 mm and 110.00 mm .*: 1 slice missing; 1 more places like it"):
        read_scan(tmp_path)


def test_uneven_spacing_is_refused_in_millimetres(tmp_path):
    for index in range(9):
        write_slice(tmp_path, index, ImagePositionPatient=[-20, -30, 2.5 * index + 0.8 * (index > 4)])
    with pytest.raises(InputError, match=r"here by 2.5 mm; received a gap between 10.00 mm and 13.30 mm .*: 3.3 mm"):
        read_scan(tmp_path)


def test_spacing_that_drifts_is_refused(tmp_path):
    for index in range(40):
        z = 2.4 * index + 0.2 * max(0, index - 20)
        write_slice(tmp_path, index, ImagePositionPatient=[-20, -30, round(z, 2)])
    with pytest.raises(InputError, match=r"off its place"):
        read_scan(tmp_path)


def test_a_slice_shifted_sideways_is_named(tmp_path):
    for index in range(9):
        write_slice(tmp_path, index, ImagePositionPatient=[-20 + 7 * (index == 5), -30, 2.5 * index])
    with pytest.raises(InputError, match=r"at \(-13.00, -30.00, 12.50\) mm, 7.00 mm beside the others"):
        read_scan(tmp_path)


def test_copies_of_a_file_are_left_out_and_said(series):
    (series / "copy").write_bytes((series / "96.004").read_bytes())
    scan = read_scan(series)
    assert scan.shape[-1] == 9
    assert "copied_slices" in [finding["name"] for finding in input_findings(scan.meta)]


def test_a_series_of_several_phases_is_refused_by_what_tells_them_apart(tmp_path):
    for phase in (1, 2):
        for index in range(9):
            write_slice(tmp_path, index, AcquisitionNumber=phase)
    with pytest.raises(
        InputError, match=r"no 4-D.*18 slices at 9 positions, told apart by AcquisitionNumber \(1, 2\)"
    ):
        read_scan(tmp_path)


@pytest.mark.parametrize(
    ("changes", "kind"),
    [
        ({"Modality": "MR"}, "modality MR, not CT"),
        ({"Modality": "RTSTRUCT"}, "a structure set"),
        ({"Modality": "SEG"}, "a segmentation"),
        ({"Modality": "SR"}, "a report"),
        ({"SOPClassUID": "1.2.840.10008.5.1.4.1.1.7"}, "a secondary capture"),
        ({"ImageType": ["ORIGINAL", "PRIMARY", "LOCALIZER"]}, "a localizer"),
        ({"SamplesPerPixel": 3}, "a colour image"),
        ({"RescaleType": "Z_EFF"}, "a map in Z_EFF"),
    ],
)
def test_what_is_no_ct_scan_is_refused_by_name(tmp_path, changes, kind):
    with pytest.raises(InputError, match=f"the scan is a CT series; received {kind}"):
        read_scan(write_series(tmp_path, **changes))


def test_each_slice_is_rescaled_by_its_own_intercept(tmp_path):
    for index in range(9):
        write_slice(tmp_path, index, RescaleIntercept=-1024 + index)
    scan = read_scan(tmp_path)
    for index in range(9):
        np.testing.assert_array_equal(scan[0, :, :, index].numpy(), hu(index).T + index)


def test_bits_above_the_stored_ones_do_not_count(tmp_path):
    for index in range(9):
        overlay = (hu(index) + 1024).astype(np.uint16) | 0x8000
        write_slice(tmp_path, index, PixelData=overlay.tobytes())
    np.testing.assert_array_equal(read_scan(tmp_path)[0, :, :, 2].numpy(), hu(2).T)


@pytest.mark.parametrize("position", [(0, 0, -1), (0, 0, 1)])
@pytest.mark.parametrize("rows", [(1, 0, 0), (-1, 0, 0)])
def test_negated_cosines_and_reversed_order_put_each_voxel_where_the_header_says(tmp_path, rows, position):
    for index in range(9):
        place = np.array([-20.0, -30, 100]) + 2.5 * index * np.array(position)
        write_slice(tmp_path, index, ImagePositionPatient=place.tolist(), ImageOrientationPatient=[*rows, 0, 1, 0])
    scan = read_scan(tmp_path)
    # slice 4, row 3, column 5 of the files, as voxel of the scan
    place = np.array([-20.0, -30, 100]) + 10.0 * np.array(position) + 5 * 0.6 * np.array(rows) + [0, 3 * 0.8, 0]
    voxel = np.linalg.inv(scan.affine.numpy()) @ [-place[0], -place[1], place[2], 1]
    x, y, z = np.rint(voxel[:3]).astype(int)
    np.testing.assert_allclose(voxel[:3], [x, y, z], atol=1e-6)
    assert scan[0, x, y, z] == hu(4)[3, 5]


def test_the_slices_know_their_files_in_the_order_of_the_voxels(series):
    source = dicom_source(read_scan(series).meta)
    assert [path.name.split(".")[0] for path in source.files] == [str(100 - index) for index in range(9)]
    assert source.series_uid == UID and not source.multiframe and source.frames == ()


def test_a_nifti_file_has_no_dicom_source():
    assert dicom_source({}) is None


def test_a_sparse_header_is_accepted_with_a_warning(tmp_path):
    folder = write_series(tmp_path, RescaleSlope=None, RescaleIntercept=None, StudyInstanceUID=None)
    scan = read_scan(folder, check_intensities=False)
    [finding] = input_findings(scan.meta)
    assert finding["severity"] == "warning"
    assert "lacks FrameOfReferenceUID, Manufacturer, PatientID, RescaleIntercept" in finding["text"]
    assert "Stored values are taken as Hounsfield units" in finding["text"]


@pytest.mark.parametrize("name", ["ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing", "Rows"])
def test_a_header_without_geometry_is_refused(series, name):
    write_slice(series, 9, **{name: None})
    with pytest.raises(InputError, match=f"a CT slice has {name}; received none"):
        read_scan(series)


@pytest.mark.parametrize(
    "changes", [{"ImageOrientationPatient": [2, 0, 0, 0, 1, 0]}, {"ImageOrientationPatient": [0, 0, 0, 0, 0, 0]}]
)
def test_directions_of_another_length_are_refused(tmp_path, changes):
    with pytest.raises(InputError, match="have length 1"):
        read_scan(write_series(tmp_path, **changes))


def test_one_dicom_file_is_refused_with_its_folder(series):
    path = next(series.iterdir())
    with pytest.raises(InputError, match="Give the folder"):
        read_scan(path)


def test_a_folder_without_dicom_is_refused(tmp_path):
    with pytest.raises(InputError, match="no DICOM file"):
        read_scan(tmp_path)


@pytest.mark.parametrize("bits", [(12, 12, 11), (16, 0, 11), (16, 12, 10), (16, 12, 16), (16, 65534, 11), (32, 33, 32)])
def test_bits_that_a_pixel_cannot_have_are_refused(tmp_path, bits):
    allocated, stored, high = bits
    write_series(tmp_path, BitsAllocated=allocated, BitsStored=stored, HighBit=high)
    with pytest.raises(InputError, match="a pixel has 8, 16, 32 or 64 bits, and holds those that are in use"):
        read_scan(tmp_path)
