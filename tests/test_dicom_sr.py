from __future__ import annotations

import pickle
import shutil
import subprocess
from pathlib import Path

import highdicom
import pydicom
import pytest
from pydicom.sr.codedict import codes

from bundle.errors import InputError
from bundle.write import dicom_seg
from bundle.write.dicom_seg import SaveDicomSegd, write_seg
from bundle.write.dicom_sr import FILE_NAME, SaveDicomSrd, write_sr
from tests.dicom_sources import PRIVATE, mask_of, write_enhanced, write_series

MEASUREMENTS = {
    "volume_ml": 61.25,
    "pieces": 1.0,
    "mean_hu": 88.5,
    "sd_hu": 21.0,
    "fat_fraction": 0.125,
    "length_mm": 151.5,
    "mean_calibre_mm": 17.0,
    "max_calibre_mm": None,
}


@pytest.fixture
def source(tmp_path):
    return write_series(tmp_path)


def written(folder: Path, source, measurements=MEASUREMENTS, anonymize: bool = False):
    seg = folder / dicom_seg.FILE_NAME
    write_seg(mask_of(source), source, seg, anonymize=anonymize)
    write_sr(measurements, source, seg, folder / FILE_NAME, anonymize)
    return highdicom.sr.srread(folder / FILE_NAME)


def group_of(report):
    (group,) = report.content.get_volumetric_roi_measurement_groups()
    return group


def test_volume_and_attenuation_are_read_back_with_their_codes_and_units(tmp_path, source):
    measurements = group_of(written(tmp_path, source)).get_measurements()
    found = [(m.name.value, m.value, m.unit.value, m.derivation and m.derivation.value) for m in measurements]
    assert found == [
        ("118565006", 61.25, "ml", None),
        ("112031", 88.5, "[hnsf'U]", "373098007"),
        ("112031", 21.0, "[hnsf'U]", "386136009"),
        ("129100", 12.5, "%", None),
        ("121211", 151.5, "mm", None),
        ("81827009", 17.0, "mm", "373098007"),
    ]


def test_the_method_says_that_attenuation_is_of_the_eroded_segment(tmp_path, source):
    volume, mean_hu, *_ = group_of(written(tmp_path, source)).get_measurements()
    assert volume.method is None
    assert mean_hu.method.meaning == "Segment eroded by 1 mm"


def test_the_finding_is_the_pancreas_of_the_segment(tmp_path, source):
    report = written(tmp_path, source)
    group = group_of(report)
    seg = pydicom.dcmread(tmp_path / dicom_seg.FILE_NAME)
    assert group.finding_type == codes.SCT.Pancreas
    segment = group.referenced_segment
    assert segment.referenced_sop_instance_uid == seg.SOPInstanceUID
    assert group.tracking_uid == seg.SegmentSequence[0].TrackingUID
    assert segment.source_series_for_segmentation.value == source.series_uid


def test_the_evidence_is_every_slice_and_the_seg(tmp_path, source):
    report = written(tmp_path, source)
    uids = {pydicom.dcmread(path).SOPInstanceUID for path in (*source.files, tmp_path / dicom_seg.FILE_NAME)}
    assert {item[2] for item in report.get_evidence()} == uids


def test_patient_and_study_are_those_of_the_scan(tmp_path, source):
    report = written(tmp_path, source)
    header = pydicom.dcmread(source.files[0])
    for keyword in ("StudyInstanceUID", "PatientName", "PatientID", "PatientBirthDate", "StudyDate"):
        assert report[keyword].value == header[keyword].value


def test_it_is_neither_final_nor_verified_and_for_research(tmp_path, source):
    report = written(tmp_path, source)
    assert (report.PreliminaryFlag, report.VerificationFlag) == ("PRELIMINARY", "UNVERIFIED")
    assert "research only" in report.SeriesDescription


def test_anonymous_output_holds_nothing_about_the_patient_but_uids(tmp_path, source):
    report = written(tmp_path, source, anonymize=True)
    content = (tmp_path / FILE_NAME).read_bytes()
    for text in PRIVATE:
        assert text.encode() not in content and text.encode("latin-1") not in content
    assert (report.PatientID, report.PatientIdentityRemoved) == ("", "YES")
    assert {str(e.value) for e in report.iterall() if e.VR == "DA" and e.value} == {"19000101"}


def test_measurements_without_a_code_are_no_report(tmp_path, source):
    with pytest.raises(ValueError, match="none of the measurements has a code: pieces, mean_hu"):
        write_sr({"pieces": 1.0, "mean_hu": None}, source, tmp_path / "seg.dcm", tmp_path / FILE_NAME)


def test_a_missing_seg_is_named(tmp_path, source):
    with pytest.raises(InputError, match="seg.dcm: the DICOM SEG of the scan can be referred to"):
        write_sr(MEASUREMENTS, source, tmp_path / "seg.dcm", tmp_path / FILE_NAME)


def test_the_writer_takes_the_numbers_of_the_report(tmp_path, source):
    data = {"pred": mask_of(source), "case": "a", "report": {"volume_ml": 7.5, "measurements": {"mean_hu": 80.0}}}
    transform = pickle.loads(pickle.dumps(SaveDicomSrd("pred", tmp_path / "out")))
    data = transform(SaveDicomSegd("pred", tmp_path / "out")(data))
    values = [m.value for m in group_of(highdicom.sr.srread(tmp_path / "out" / "a" / FILE_NAME)).get_measurements()]
    assert values == [7.5, 80.0] and "not_written" not in data


def test_a_report_of_an_older_version_gives_the_volume_alone(tmp_path, source):
    data = {"pred": mask_of(source), "case": "a", "report": {"volume_ml": 7.5}}
    SaveDicomSrd("pred", tmp_path / "out")(SaveDicomSegd("pred", tmp_path / "out")(data))
    (volume,) = group_of(highdicom.sr.srread(tmp_path / "out" / "a" / FILE_NAME)).get_measurements()
    assert volume.value == 7.5


def test_an_empty_mask_has_no_sr_and_the_data_say_so(tmp_path, source):
    data = {"pred": mask_of(source) * 0, "case": "a", "report": {"volume_ml": 0.0}}
    data = SaveDicomSrd("pred", tmp_path / "out")(SaveDicomSegd("pred", tmp_path / "out")(data))
    assert data["not_written"] == dict.fromkeys(["segmentation.dcm", FILE_NAME], "the mask is empty")
    assert not (tmp_path / "out" / "a" / FILE_NAME).exists()


@pytest.mark.skipif(shutil.which("dciodvfy") is None, reason="dciodvfy (Debian package dicom3tools) is not installed")
@pytest.mark.parametrize("anonymize", [False, True])
@pytest.mark.parametrize("multiframe", [False, True])
def test_dciodvfy_finds_no_error(tmp_path, multiframe, anonymize):
    source = write_enhanced(tmp_path / "enhanced.dcm") if multiframe else write_series(tmp_path)
    written(tmp_path, source, anonymize=anonymize)
    report = subprocess.run(["dciodvfy", str(tmp_path / FILE_NAME)], capture_output=True, text=True)
    assert "ComprehensiveSR" in report.stderr
    assert [line for line in report.stderr.splitlines() if line.startswith("Error")] == []


@pytest.mark.skipif(shutil.which("dsrdump") is None, reason="dsrdump (Debian package dcmtk) is not installed")
def test_dcmtk_reads_the_report(tmp_path, source):
    written(tmp_path, source)
    report = subprocess.run(["dsrdump", "-Er", str(tmp_path / FILE_NAME)], capture_output=True, text=True)
    assert report.returncode == 0 and "error" not in report.stderr.lower()
    assert '"61.25"' in report.stdout and "Pancreas" in report.stdout
