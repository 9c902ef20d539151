from __future__ import annotations

import numpy as np
import pytest
import torch

from bundle.errors import InputError
from bundle.read import dicom_source, find_studies, read_scan
from tests.dicom_phantoms import UID, hu, write_multiframe

# The frames of a file need not be in the order of their positions.
ORDER = [3, 0, 8, 1, 2, 7, 4, 6, 5]


@pytest.mark.parametrize("given", ["file", "folder"])
def test_frames_are_stacked_by_position_and_rescaled_one_by_one(tmp_path, given):
    path = write_multiframe(tmp_path / "scan.dcm", ORDER)
    scan = read_scan(path if given == "file" else tmp_path)
    assert scan.dtype == torch.int16
    for index in range(9):
        np.testing.assert_array_equal(scan[0, :, :, index].numpy(), hu(index).T)
    expected = [[-0.6, 0, 0, 20], [0, -0.8, 0, 30], [0, 0, 2.5, 100], [0, 0, 0, 1]]
    np.testing.assert_allclose(scan.affine.numpy(), expected)


def test_the_frames_of_the_voxel_layers_are_known(tmp_path):
    path = write_multiframe(tmp_path / "scan.dcm", ORDER)
    source = dicom_source(read_scan(path).meta)
    assert source.files == (path,) and source.multiframe and source.series_uid == UID
    assert [ORDER[frame] for frame in source.frames] == list(range(9))


def test_each_multi_frame_file_is_a_scan_named_after_it(tmp_path):
    for name, uid in (("a", "1.1"), ("b", "1.2")):
        write_multiframe(tmp_path / f"{name}.dcm", ORDER, StudyInstanceUID=uid, SeriesInstanceUID=uid)
    scans = find_studies(tmp_path).scans
    assert [scan["case"] for scan in scans] == ["a", "b"]
    assert read_scan(scans[1]["image"], series_uid=scans[1]["series_uid"]).shape == (1, 9, 10, 9)


def test_frames_at_one_position_are_phases(tmp_path):
    with pytest.raises(InputError, match="no 4-D.*18 slices at 9 positions"):
        read_scan(write_multiframe(tmp_path / "scan.dcm", [*range(9), *range(9)]))


def test_a_missing_frame_is_named(tmp_path):
    with pytest.raises(InputError, match=r"scan.dcm, frame 3 and scan.dcm, frame 4\): 1 slice missing"):
        read_scan(write_multiframe(tmp_path / "scan.dcm", [0, 1, 2, 4, 5, 6, 7, 8]))


def test_truncated_frames_are_refused(tmp_path):
    path = write_multiframe(tmp_path / "scan.dcm", ORDER)
    path.write_bytes(path.read_bytes()[:-500])
    with pytest.raises(InputError, match="9 frames hold 1620 bytes of pixels; received 1120 bytes"):
        read_scan(path)


def test_a_number_of_frames_that_is_not_theirs_is_refused(tmp_path):
    with pytest.raises(InputError, match="1000000000 frames with 9 headers"):
        read_scan(write_multiframe(tmp_path / "scan.dcm", ORDER, NumberOfFrames=10**9))
