from __future__ import annotations

import dataclasses
import pickle
import shutil
import subprocess
from pathlib import Path

import highdicom
import numpy as np
import pydicom
import pytest
import torch
from monai.data import MetaTensor
from pydicom.config import disable_value_validation
from pydicom.dataelem import RawDataElement
from pydicom.sr.codedict import codes
from pydicom.tag import Tag

from bundle.errors import InputError
from bundle.read import dicom_source, read_scan
from bundle.write.dicom_headers import read_headers
from bundle.write.dicom_seg import FILE_NAME, SaveDicomSegd, write_seg
from tests.dicom_sources import (
    ORIENTATIONS,
    PRIVATE,
    SLICES,
    affine_of,
    mask_of,
    points_mm,
    positions_mm,
    sorted_rows,
    write_enhanced,
    write_series,
)

LPS_TO_RAS = np.diag([-1, -1, 1, 1])


def read_points_mm(path: Path) -> np.ndarray:
    """Where highdicom's own reader sees the segment, in RAS+ millimetres."""
    volume = highdicom.seg.segread(path).get_volume(combine_segments=True, allow_missing_positions=True)
    return points_mm(volume.array > 0, LPS_TO_RAS @ volume.affine)


def written(folder: Path, mask: MetaTensor, source, **options) -> highdicom.seg.Segmentation:
    write_seg(mask, source, folder / FILE_NAME, **options)
    return highdicom.seg.segread(folder / FILE_NAME)


def sources_of_frames(segmentation: highdicom.seg.Segmentation) -> list:
    return [
        frame.DerivationImageSequence[0].SourceImageSequence[0]
        for frame in segmentation.PerFrameFunctionalGroupsSequence
    ]


@pytest.fixture
def source(tmp_path):
    return write_series(tmp_path)


@pytest.mark.parametrize("name", ORIENTATIONS)
def test_the_seg_overlaps_the_mask_exactly_in_millimetres(tmp_path, name):
    source = write_series(tmp_path, ORIENTATIONS[name])
    mask = mask_of(source, ORIENTATIONS[name])
    write_seg(mask, source, tmp_path / FILE_NAME)
    expected = points_mm(mask[0].numpy() > 0, affine_of(ORIENTATIONS[name]))
    np.testing.assert_array_equal(read_points_mm(tmp_path / FILE_NAME), expected)


@pytest.mark.parametrize("name", ["axial", "columns negated", "oblique"])
@pytest.mark.parametrize("order", [range(SLICES), range(SLICES)[::-1], [3, 1, 7, 0, 6, 2, 5, 4]])
def test_the_seg_of_a_multi_frame_scan_overlaps_the_mask_exactly(tmp_path, name, order):
    source = write_enhanced(tmp_path / "enhanced.dcm", ORIENTATIONS[name], order)
    mask = mask_of(source, ORIENTATIONS[name])
    segmentation = written(tmp_path, mask, source)
    expected = points_mm(mask[0].numpy() > 0, affine_of(ORIENTATIONS[name]))
    np.testing.assert_array_equal(read_points_mm(tmp_path / FILE_NAME), expected)
    # frames with pancreas are slices 3 to 6; frame numbers count from 1 in the file's order
    numbers = sorted(item.ReferencedFrameNumber for item in sources_of_frames(segmentation))
    assert numbers == sorted(list(order).index(index) + 1 for index in (3, 4, 5, 6))


def test_a_multi_frame_scan_may_say_its_orientation_per_frame(tmp_path):
    source = write_enhanced(tmp_path / "enhanced.dcm", shared=False)
    mask = mask_of(source)
    write_seg(mask, source, tmp_path / FILE_NAME)
    expected = points_mm(mask[0].numpy() > 0, affine_of(ORIENTATIONS["axial"]))
    np.testing.assert_array_equal(read_points_mm(tmp_path / FILE_NAME), expected)


def test_the_headers_give_the_affine_of_the_scan(tmp_path):
    for name, orientation in ORIENTATIONS.items():
        (tmp_path / name).mkdir()
        headers = read_headers(write_series(tmp_path / name, orientation))
        np.testing.assert_allclose(headers.affine, affine_of(orientation), atol=1e-5)


@pytest.mark.parametrize("name", ORIENTATIONS)
@pytest.mark.parametrize("multiframe", [False, True])
def test_the_reader_gives_grid_and_slices_as_they_are_written_here(tmp_path, name, multiframe):
    orientation = ORIENTATIONS[name]
    if multiframe:
        source = write_enhanced(tmp_path / "enhanced.dcm", orientation, order=range(SLICES)[::-1])
    else:
        source = write_series(tmp_path, orientation)
    scan = read_scan(tmp_path, check_intensities=False)
    assert dicom_source(scan.meta) == source
    np.testing.assert_allclose(scan.affine.numpy(), affine_of(orientation), atol=1e-5)


def test_every_source_slice_is_referred_to(tmp_path, source):
    segmentation = written(tmp_path, mask_of(source), source)
    uids = {pydicom.dcmread(path).SOPInstanceUID for path in source.files}
    assert {item.ReferencedSOPInstanceUID for item in segmentation.SourceImageSequence} == uids
    (series,) = segmentation.ReferencedSeriesSequence
    assert series.SeriesInstanceUID == source.series_uid
    assert {item.ReferencedSOPInstanceUID for item in series.ReferencedInstanceSequence} == uids


def test_each_frame_names_the_slice_it_lies_on(tmp_path, source):
    segmentation = written(tmp_path, mask_of(source), source)
    named = [item.ReferencedSOPInstanceUID for item in sources_of_frames(segmentation)]
    # highdicom orders frames along its own normal, which points the other way
    assert sorted(named) == sorted(pydicom.dcmread(source.files[index]).SOPInstanceUID for index in (3, 4, 5, 6))
    for frame, uid in zip(segmentation.PerFrameFunctionalGroupsSequence, named, strict=True):
        path = next(path for path in source.files if pydicom.dcmread(path).SOPInstanceUID == uid)
        position = frame.PlanePositionSequence[0].ImagePositionPatient
        assert position == pydicom.dcmread(path).ImagePositionPatient


def test_study_and_frame_of_reference_are_those_of_the_scan(tmp_path, source):
    segmentation = written(tmp_path, mask_of(source), source)
    header = pydicom.dcmread(source.files[0])
    for keyword in ("StudyInstanceUID", "FrameOfReferenceUID", "PatientName", "PatientID", "PatientBirthDate"):
        assert segmentation[keyword].value == header[keyword].value
    assert segmentation.SeriesInstanceUID != header.SeriesInstanceUID


def test_the_segment_is_a_coded_pancreas_made_by_an_identified_algorithm(tmp_path, source):
    segmentation = written(tmp_path, mask_of(source), source, system="roth2018")
    segment = segmentation.get_segment_description(1)
    assert segmentation.SegmentationType == "BINARY"
    assert (segment.segmented_property_type.value, segment.segmented_property_type.scheme_designator) == (
        "15776009",
        "SCT",
    )
    assert segment.segmented_property_category == codes.SCT.AnatomicalStructure
    assert segment.algorithm_type == highdicom.seg.SegmentAlgorithmTypeValues.AUTOMATIC
    algorithm = segment.algorithm_identification
    assert algorithm is not None
    assert (algorithm.name, algorithm.family) == ("pancreas_ct_cascade_segmentation", codes.DCM.ArtificialIntelligence)
    assert algorithm.parameters == {"system": "roth2018"}
    assert segment.tracking_id == "pancreas" and segment.tracking_uid
    assert "research only" in segmentation.SeriesDescription
    assert segmentation.ContentQualification == "RESEARCH"


def test_two_runs_make_two_objects(tmp_path, source):
    first, second = (written(tmp_path, mask_of(source), source) for _ in range(2))
    assert first.SOPInstanceUID != second.SOPInstanceUID


def test_slices_that_were_resampled_give_the_seg_the_grid_of_the_mask(tmp_path):
    source = write_series(tmp_path)
    affine = affine_of(ORIENTATIONS["axial"])
    affine[:3, 2] *= 1.5
    affine[:3, 3] += (0.3, 0, 1)
    mask = MetaTensor(mask_of(source).as_tensor()[..., :-1], meta={"affine": torch.from_numpy(affine)})
    segmentation = written(tmp_path, mask, source)
    np.testing.assert_array_equal(read_points_mm(tmp_path / FILE_NAME), points_mm(mask[0].numpy() > 0, affine))
    assert len(segmentation.SourceImageSequence) == SLICES


def test_slices_a_little_off_the_even_grid_keep_their_own_places(tmp_path):
    source = write_series(tmp_path)
    slice_ = pydicom.dcmread(source.files[4])
    slice_.ImagePositionPatient[2] += 0.2
    slice_.save_as(source.files[4])
    segmentation = written(tmp_path, mask_of(source), source)
    heights = {
        float(frame.PlanePositionSequence[0].ImagePositionPatient[2])
        for frame in segmentation.PerFrameFunctionalGroupsSequence
    }
    assert heights == {107.5, 110.2, 112.5, 115.0}
    assert len(sources_of_frames(segmentation)) == 4


def test_frames_of_a_tilted_scan_lie_on_its_slices(tmp_path):
    source = write_series(tmp_path, tilt_degrees=15)
    affine = affine_of(ORIENTATIONS["axial"], tilt_degrees=15)
    mask = MetaTensor(mask_of(source).as_tensor(), meta={"affine": torch.from_numpy(affine)})
    segmentation = written(tmp_path, mask, source)
    points = []
    for frame, pixels in zip(segmentation.PerFrameFunctionalGroupsSequence, segmentation.pixel_array, strict=True):
        x, y, z = frame.PlanePositionSequence[0].ImagePositionPatient
        points += [(-x - 0.6 * column, -y - 0.8 * row, z) for row, column in np.argwhere(pixels)]
    expected = points_mm(mask[0].numpy() > 0, affine)
    np.testing.assert_array_equal(sorted_rows(points), expected)
    assert segmentation.SharedFunctionalGroupsSequence[0].PixelMeasuresSequence[0].SpacingBetweenSlices == 2.5


def test_sparse_headers_are_filled_in(tmp_path):
    missing = dict.fromkeys(
        ("FrameOfReferenceUID", "StudyDate", "StudyTime", "PatientBirthDate", "Manufacturer", "StudyID", "PatientSex")
    )
    source = write_series(tmp_path, PatientID="", **missing)
    mask = mask_of(source)
    first, second = (written(tmp_path, mask, source) for _ in range(2))
    assert first.FrameOfReferenceUID == second.FrameOfReferenceUID != ""
    assert (first.PatientID, first.StudyDate) == ("", "")
    expected = points_mm(mask[0].numpy() > 0, affine_of(ORIENTATIONS["axial"]))
    np.testing.assert_array_equal(read_points_mm(tmp_path / FILE_NAME), expected)


@pytest.mark.parametrize(
    ("keyword", "value"),
    [("PatientBirthDate", "1950-01-02"), ("StudyTime", "noon"), ("PatientSex", "male"), ("StudyDate", "20201332")],
)
@pytest.mark.filterwarnings("ignore:Invalid value for VR")  # of writing the source here
def test_values_that_dicom_forbids_are_left_empty(tmp_path, caplog, keyword, value):
    source = write_series(tmp_path, **{keyword: value})
    assert written(tmp_path, mask_of(source), source)[keyword].value in ("", None)
    assert f"{keyword} of the source is left empty" in caplog.text


def test_names_in_other_alphabets_are_kept(tmp_path):
    source = write_series(tmp_path, SpecificCharacterSet="ISO_IR 144", PatientName="Люкceмбypг")
    assert written(tmp_path, mask_of(source), source).PatientName == "Люкceмбypг"


def test_an_unknown_alphabet_and_a_missing_study_are_no_obstacle(tmp_path):
    source = write_series(tmp_path, StudyInstanceUID=None)
    for path in source.files:  # pydicom would not write it
        path.write_bytes(path.read_bytes().replace(b"ISO_IR 100", b"ISO_IR 999"))
    segmentation = written(tmp_path, mask_of(source), source)
    assert segmentation.StudyInstanceUID and "ller" in str(segmentation.PatientName)


def test_a_name_of_one_word_is_kept(tmp_path):
    source = write_series(tmp_path, PatientName="ANON")
    assert written(tmp_path, mask_of(source), source).PatientName == "ANON"


def test_anonymous_output_holds_nothing_about_the_patient_but_uids(tmp_path, source):
    segmentation = written(tmp_path, mask_of(source), source, anonymize=True)
    content = (tmp_path / FILE_NAME).read_bytes()
    for text in PRIVATE:
        assert text.encode() not in content and text.encode("latin-1") not in content
    assert segmentation.PatientName == "" and segmentation.PatientIdentityRemoved == "YES"
    dates = {str(e.value) for e in segmentation.iterall() if e.VR in ("DA", "TM", "DT") and e.value}
    assert dates <= {"19000101", "000000", "19000101000000"}
    assert {item.ReferencedSOPInstanceUID for item in segmentation.SourceImageSequence} == {
        pydicom.dcmread(path).SOPInstanceUID for path in source.files
    }


def test_by_default_only_what_dicom_demands_is_copied(tmp_path, source):
    write_seg(mask_of(source), source, tmp_path / FILE_NAME)
    content = (tmp_path / FILE_NAME).read_bytes()
    for text in ("Clinic Q", "CT-4", "other-77", "Street", "Scanner Works"):
        assert text.encode() not in content


def test_an_empty_mask_has_no_seg_and_the_data_say_so(tmp_path, source):
    mask = mask_of(source)
    with pytest.raises(ValueError, match="empty mask"):
        write_seg(mask * 0, source, tmp_path / FILE_NAME)
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / FILE_NAME).write_bytes(b"of an earlier run")
    data = SaveDicomSegd("pred", tmp_path)({"pred": mask * 0, "case": "a"})
    assert data["not_written"] == {FILE_NAME: "the mask is empty"}
    assert not (tmp_path / "a" / FILE_NAME).exists()


def test_a_scan_that_was_not_dicom_has_no_seg(tmp_path):
    mask = MetaTensor(torch.ones(1, 3, 4, 5), meta={"affine": torch.eye(4)})
    data = SaveDicomSegd("pred", tmp_path)({"pred": mask, "case": "a"})
    assert "not_written" not in data and not list(tmp_path.iterdir())


def test_the_writer_puts_the_file_into_the_folder_of_the_case(tmp_path, source):
    transform = pickle.loads(pickle.dumps(SaveDicomSegd("pred", tmp_path / "out", system="default")))
    transform({"pred": mask_of(source), "case": "a"})
    assert [path.name for path in (tmp_path / "out" / "a").iterdir()] == [FILE_NAME]


def test_slices_that_are_gone_are_named_and_the_rest_goes_on(tmp_path, source):
    missing = dataclasses.replace(source, files=(tmp_path / "gone.dcm", *source.files[1:]))
    with pytest.raises(InputError, match="gone.dcm: the slices are still there"):
        write_seg(mask_of(source), missing, tmp_path / FILE_NAME)
    data = SaveDicomSegd("pred", tmp_path / "out")({"pred": mask_of(missing), "case": "a"})
    assert "gone.dcm" in data["not_written"][FILE_NAME]


@pytest.mark.skipif(shutil.which("dciodvfy") is None, reason="dciodvfy (Debian package dicom3tools) is not installed")
@pytest.mark.parametrize("anonymize", [False, True])
@pytest.mark.parametrize("multiframe", [False, True])
def test_dciodvfy_finds_no_error(tmp_path, multiframe, anonymize):
    source = write_enhanced(tmp_path / "enhanced.dcm") if multiframe else write_series(tmp_path)
    write_seg(mask_of(source), source, tmp_path / FILE_NAME, "default", anonymize)
    report = subprocess.run(["dciodvfy", str(tmp_path / FILE_NAME)], capture_output=True, text=True)
    assert "Segmentation" in report.stderr
    assert [line for line in report.stderr.splitlines() if line.startswith("Error")] == []


def test_positions_run_along_the_normal():
    for orientation in ORIENTATIONS.values():
        step = positions_mm(orientation)[1] - positions_mm(orientation)[0]
        assert np.linalg.det([orientation[:3], orientation[3:], step]) == pytest.approx(2.5, abs=1e-5)


def test_an_id_that_is_none_is_replaced_by_one_of_our_own(tmp_path):
    with disable_value_validation():
        source = write_series(tmp_path, SeriesInstanceUID="a", StudyInstanceUID="b/c")
    first, second = (read_headers(source).images[0] for _ in range(2))
    assert first.SeriesInstanceUID.startswith("1.2.826") and first.SeriesInstanceUID == second.SeriesInstanceUID


def test_a_slice_without_a_valid_id_cannot_be_referred_to(tmp_path, source):
    data = pydicom.dcmread(source.files[0])
    with disable_value_validation():
        data.file_meta.MediaStorageSOPInstanceUID = data.SOPInstanceUID = "a"
        data.save_as(source.files[0])
    with pytest.raises(InputError, match="DICOM outputs refer to complete slices; received SOPInstanceUID is 'a'"):
        read_headers(source)


def test_a_date_of_another_type_is_left_empty(tmp_path, source):
    data = pydicom.dcmread(source.files[0])
    data[0x00080020] = RawDataElement(Tag(0x00080020), "FD", 4, b"1E5 ", 0, False, True)
    data.save_as(source.files[0])
    assert read_headers(source).patient["StudyDate"] == ""
