from __future__ import annotations

import pickle
import shutil
import subprocess
from pathlib import Path

import nibabel as nib
import numpy as np
import pydicom
import pytest
import torch
from matplotlib.path import Path as Polygon
from monai.data import MetaTensor

from bundle.write.rtstruct import FILE_NAME, SaveRtstructd, outlines, write_rtstruct
from tests.dicom_sources import (
    COLUMNS,
    ORIENTATIONS,
    PRIVATE,
    ROWS,
    SLICES,
    affine_of,
    mask_of,
    points_mm,
    write_enhanced,
    write_series,
)

PICTURES = {
    "one pixel": ["...", ".#.", "..."],
    "touching the edges": ["##.", "#..", "..#"],
    "a hole": ["#####", "#...#", "#.#.#", "#...#", "#####"],
    "two holes": ["#######", "#.###.#", "#######"],
    "two pieces, one with a hole": ["##.####", "##.#..#", "...####"],
    "a hole within a piece within a hole": [
        "#########",
        "#.......#",
        "#.#####.#",
        "#.#...#.#",
        "#.#####.#",
        "#.......#",
        "#########",
    ],
    "pixels that touch at corners": ["#.#", ".#.", "#.#"],
}


def picture(name: str) -> np.ndarray:
    return np.array([[pixel == "#" for pixel in row] for row in PICTURES[name]])


def filled(polygons: list[np.ndarray], shape: tuple[int, int]) -> np.ndarray:
    """The pixels whose centres lie in an odd number of polygons."""
    centres = np.indices(shape).reshape(2, -1).T
    return np.logical_xor.reduce([Polygon(line).contains_points(centres) for line in polygons]).reshape(shape)


def contours_of(path: Path) -> list[pydicom.Dataset]:
    return list(pydicom.dcmread(path).ROIContourSequence[0].ContourSequence)


def read_points_mm(path: Path, orientation) -> np.ndarray:
    """Where the contours hold pixel centres of the slices, in RAS+ millimetres."""
    to_voxel = np.linalg.inv(np.diag([-1, -1, 1, 1]) @ affine_of(orientation))
    voxels = np.zeros((COLUMNS, ROWS, SLICES), dtype=bool)
    for contour in contours_of(path):
        points = np.array(contour.ContourData, dtype=float).reshape(-1, 3) @ to_voxel[:3, :3].T + to_voxel[:3, 3]
        (index,) = set(np.round(points[:, 2]).astype(int))
        assert np.abs(points[:, 2] - index).max() < 1e-2
        voxels[:, :, index] ^= filled([points[:, :2]], (COLUMNS, ROWS))
    return points_mm(voxels, affine_of(orientation))


@pytest.fixture
def source(tmp_path):
    return write_series(tmp_path)


@pytest.mark.parametrize("name", PICTURES)
def test_outlines_hold_the_pixels_they_were_drawn_around(name):
    np.testing.assert_array_equal(filled(outlines(picture(name)), picture(name).shape), picture(name))


def test_each_piece_is_one_polygon_its_holes_included():
    assert len(outlines(picture("two holes"))) == 1
    assert len(outlines(picture("two pieces, one with a hole"))) == 2
    assert outlines(np.zeros((3, 3), dtype=bool)) == []


@pytest.mark.parametrize("name", ORIENTATIONS)
def test_contours_hold_the_voxels_of_the_mask_in_millimetres(tmp_path, name):
    source = write_series(tmp_path, ORIENTATIONS[name])
    mask = mask_of(source, ORIENTATIONS[name])
    write_rtstruct(mask, source, tmp_path / FILE_NAME)
    expected = points_mm(mask[0].numpy() > 0, affine_of(ORIENTATIONS[name]))
    np.testing.assert_array_equal(read_points_mm(tmp_path / FILE_NAME, ORIENTATIONS[name]), expected)


def test_each_contour_names_its_slice_and_the_set_names_them_all(tmp_path, source):
    write_rtstruct(mask_of(source), source, tmp_path / FILE_NAME)
    headers = [pydicom.dcmread(path) for path in source.files]
    for contour in contours_of(tmp_path / FILE_NAME):
        uid = contour.ContourImageSequence[0].ReferencedSOPInstanceUID
        (height,) = [float(header.ImagePositionPatient[2]) for header in headers if header.SOPInstanceUID == uid]
        assert float(contour.ContourData[2]) == height
    frame = pydicom.dcmread(tmp_path / FILE_NAME).ReferencedFrameOfReferenceSequence[0]
    series = frame.RTReferencedStudySequence[0].RTReferencedSeriesSequence[0]
    named = {image.ReferencedSOPInstanceUID for image in series.ContourImageSequence}
    assert named == {header.SOPInstanceUID for header in headers}


def test_contours_of_a_multi_frame_scan_name_their_frame(tmp_path):
    source = write_enhanced(tmp_path / "enhanced.dcm", order=range(SLICES)[::-1])
    write_rtstruct(mask_of(source), source, tmp_path / FILE_NAME)
    numbers = {c.ContourImageSequence[0].ReferencedFrameNumber for c in contours_of(tmp_path / FILE_NAME)}
    assert numbers == {5, 4, 3, 2}  # slices 3 to 6 of 8, counted from the other end and from 1


def test_a_resampled_scan_has_contours_on_the_grid_of_the_mask(tmp_path, source):
    affine = affine_of(ORIENTATIONS["axial"])
    affine[2, 3] += 1.5
    mask = MetaTensor(mask_of(source).as_tensor(), meta={"affine": torch.from_numpy(affine)})
    write_rtstruct(mask, source, tmp_path / FILE_NAME)
    contours = contours_of(tmp_path / FILE_NAME)
    assert {float(contour.ContourData[2]) for contour in contours} == {109.0, 111.5, 114.0, 116.5}
    assert not any("ContourImageSequence" in contour for contour in contours)


def test_anonymous_output_holds_nothing_about_the_patient_but_uids(tmp_path, source):
    write_rtstruct(mask_of(source), source, tmp_path / FILE_NAME, anonymize=True)
    content = (tmp_path / FILE_NAME).read_bytes()
    for text in PRIVATE:
        assert text.encode() not in content and text.encode("latin-1") not in content


def test_an_empty_mask_has_no_contours_and_the_data_say_so(tmp_path, source):
    with pytest.raises(ValueError, match="empty mask"):
        write_rtstruct(mask_of(source) * 0, source, tmp_path / FILE_NAME)
    data = SaveRtstructd("pred", tmp_path / "out")({"pred": mask_of(source) * 0, "case": "a"})
    assert data["not_written"] == {FILE_NAME: "the mask is empty"}


def test_the_writer_puts_the_file_into_the_folder_of_the_case(tmp_path, source):
    pickle.loads(pickle.dumps(SaveRtstructd("pred", tmp_path / "out")))({"pred": mask_of(source), "case": "a"})
    assert [path.name for path in (tmp_path / "out" / "a").iterdir()] == [FILE_NAME]


@pytest.mark.skipif(shutil.which("dciodvfy") is None, reason="dciodvfy (Debian package dicom3tools) is not installed")
@pytest.mark.parametrize("anonymize", [False, True])
@pytest.mark.parametrize("multiframe", [False, True])
def test_dciodvfy_finds_no_error(tmp_path, multiframe, anonymize):
    source = write_enhanced(tmp_path / "enhanced.dcm") if multiframe else write_series(tmp_path)
    write_rtstruct(mask_of(source), source, tmp_path / FILE_NAME, anonymize)
    report = subprocess.run(["dciodvfy", str(tmp_path / FILE_NAME)], capture_output=True, text=True)
    assert "RTStructureSet" in report.stderr
    assert [line for line in report.stderr.splitlines() if line.startswith("Error")] == []


@pytest.mark.skipif(shutil.which("plastimatch") is None, reason="plastimatch (Debian package) is not installed")
@pytest.mark.parametrize("name", ["columns negated", "oblique"])
def test_plastimatch_reads_the_mask_back(tmp_path, name):
    (tmp_path / "ct").mkdir()
    source = write_series(tmp_path / "ct", ORIENTATIONS[name])
    mask = mask_of(source, ORIENTATIONS[name])
    write_rtstruct(mask, source, tmp_path / FILE_NAME)
    command = ["plastimatch", "convert", "--input", str(tmp_path / FILE_NAME), "--referenced-ct", str(tmp_path / "ct")]
    command += ["--output-prefix", str(tmp_path / "back"), "--prefix-format", "nii.gz"]
    subprocess.run(command, check=True, capture_output=True)
    back = nib.load(tmp_path / "back" / "Pancreas.nii.gz")
    expected = points_mm(mask[0].numpy() > 0, affine_of(ORIENTATIONS[name]))
    np.testing.assert_allclose(points_mm(np.asanyarray(back.dataobj) > 0, back.affine), expected, atol=2e-3)
