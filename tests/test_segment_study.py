from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path

import pytest

from bundle.segmentation.study import Inputs, Study, anonymous, find_inputs
from tests.dicom_phantoms import write_series, write_slice
from tests.threshold_pipeline import hu, save

ELSEWHERE = Path("elsewhere")


def test_case_names_do_not_repeat(tmp_path):
    for folder in ("x", "y"):
        (tmp_path / folder).mkdir()
        save(tmp_path / folder / "a.nii", hu())
    assert [study.case for study in find(tmp_path / "x", tmp_path / "y").studies] == ["a", "a_2"]


def test_an_input_without_scans_is_refused_with_the_reason(tmp_path):
    (tmp_path / "empty").mkdir()
    ((name, reason),) = find(tmp_path / "empty").refused
    assert name == "empty" and "the folder holds scans" in reason


def find(*paths: Path, output: Path = ELSEWHERE) -> Inputs:
    with ExitStack() as archives:
        return find_inputs(paths, output, archives)


# So that a study that joins the folder leaves the others' results as good as they were.
def test_the_files_of_a_study_are_those_of_its_series_alone(tmp_path):
    write_series(tmp_path, 9, StudyInstanceUID="1.1")
    before = {path.name for path in tmp_path.iterdir()}
    write_series(tmp_path, 8, StudyInstanceUID="1.2")
    both = find(tmp_path).studies
    assert sorted(len(study.files) for study in both) == [8, 9]
    assert {path.name for path in max((study.files for study in both), key=len)} == before


def test_a_series_that_cannot_be_read_is_told_by_all_files_of_its_folder(tmp_path):
    write_series(tmp_path, 4)
    write_slice(tmp_path, 9)
    study = Study("a", str(tmp_path), "1.2.3.4")
    assert len(study.files) == 5


def test_other_series_are_skipped_with_the_reason(tmp_path):
    write_series(tmp_path / "thin", 9)
    write_series(tmp_path / "scout", 1, ImageType=["ORIGINAL", "PRIMARY", "LOCALIZER"])
    inputs = find(tmp_path)
    assert [study.case for study in inputs.studies] == ["thin"]
    assert inputs.skipped == [("scout", "CT, 1 file: a localizer (scout)")]


def test_dicom_results_in_the_output_folder_are_not_even_mentioned(tmp_path):
    write_series(tmp_path / "ct", 9)
    (tmp_path / "out" / "ct").mkdir(parents=True)
    write_slice(tmp_path / "out" / "ct", 1, Modality="SEG").rename(tmp_path / "out" / "ct" / "segmentation.dcm")
    (tmp_path / "out" / "ct" / "report.json").write_text("{}")
    inputs = find(tmp_path, output=tmp_path / "out")
    assert [study.case for study in inputs.studies] == ["ct"]
    assert inputs.skipped == []


@pytest.fixture
def patient(tmp_path: Path) -> Path:
    folder = tmp_path / "DOE_JOHN" / "CT_1"
    folder.mkdir(parents=True)
    (folder / "DOE_0001.dcm").touch()
    (folder / "12").touch()
    return folder


@pytest.mark.parametrize(
    ("text", "public"),
    [
        ("{}: a scan has slices", "case_001: a scan has slices"),
        ("{}/DOE_0001.dcm is truncated", "case_001/file_2 is truncated"),
        ("slices DOE_0001.dcm and 12 of 12", "slices file_2 and 12 of 12"),
        ("no such file: {}/../CT_2", "no such file: case_001/../CT_2"),
    ],
)
def test_an_anonymous_study_names_neither_folder_nor_file(patient, text, public):
    (study,) = anonymous([Study("CT_1", str(patient))])
    assert study.public(text.format(patient)) == public


def test_anonymous_studies_are_numbered():
    studies = anonymous([Study("a", "a.nii"), Study("b", "b.nii")])
    assert [study.case for study in studies] == ["case_001", "case_002"]
    assert [study.image for study in studies] == ["a.nii", "b.nii"]
