from __future__ import annotations

import json
from pathlib import Path

import pytest

from bundle.errors import InputError
from bundle.read import case_name, find_scans, load_datalist, split_by_patient


def dataset(root: Path, **sections) -> Path:
    """Write a dataset.json and an empty file for everything it lists."""
    root.mkdir(exist_ok=True)
    (root / "dataset.json").write_text(json.dumps(sections))
    for items in sections.values():
        for item in items if isinstance(items, list) else []:
            for path in [item] if isinstance(item, str) else [item["image"], item.get("label", item["image"])]:
                (root / path).parent.mkdir(parents=True, exist_ok=True)
                (root / path).touch()
    return root


def case(number: int, patient: str | None = None) -> dict[str, str]:
    entry = {"image": f"./imagesTr/p{number}.nii.gz", "label": f"./labelsTr/p{number}.nii.gz"}
    return entry if patient is None else {**entry, "patient": patient}


def test_paths_are_absolute_and_the_patient_is_kept(tmp_path):
    root = dataset(tmp_path / "d", training=[case(1, "ann")], validation=[case(2)])
    assert load_datalist(root, "training") == [
        {"image": str(root / "imagesTr/p1.nii.gz"), "label": str(root / "labelsTr/p1.nii.gz"), "patient": "ann"}
    ]


def test_a_case_without_patient_is_its_own_patient(tmp_path):
    root = dataset(tmp_path / "d", training=[case(1)], validation=[case(2)])
    assert load_datalist(root, "validation")[0]["patient"] == "p2"


def test_a_patient_who_trains_and_validates_is_warned_of(tmp_path, caplog):
    root = dataset(tmp_path / "d", training=[case(1, "ann"), case(2, "bob")], validation=[case(3, "ann")])
    assert len(load_datalist(root, "validation")) == 1
    assert "in training and in validation are the patients ann;" in caplog.text


def test_without_validation_the_training_cases_are_split_by_patient(tmp_path):
    root = dataset(tmp_path / "d", training=[case(n, f"patient{n // 2}") for n in range(10)])
    training = load_datalist(root, "training", validation_share=0.4, seed=3)
    validation = load_datalist(root, "validation", validation_share=0.4, seed=3)
    assert len(training) + len(validation) == 10
    assert len({entry["patient"] for entry in validation}) == 2
    assert not {entry["patient"] for entry in training} & {entry["patient"] for entry in validation}


def test_all_wrong_paths_are_reported_together(tmp_path):
    root = dataset(tmp_path / "d", training=[case(1), case(2)])
    for name in ("imagesTr/p1.nii.gz", "labelsTr/p2.nii.gz"):
        (root / name).unlink()
    with pytest.raises(InputError, match=r"2 missing in training: .*imagesTr/p1\.nii\.gz, .*labelsTr/p2\.nii\.gz"):
        load_datalist(root, "training")


@pytest.mark.parametrize(
    ("sections", "message"),
    [
        ({"test": ["./imagesTs/a.nii.gz"]}, "a case in test has a label"),
        ({"test": []}, "test is a list of cases; received no entry"),
        ({"test": [{"label": "a.nii"}]}, "an object with image"),
    ],
)
def test_a_section_that_cannot_be_scored_is_refused(tmp_path, sections, message):
    (tmp_path / "dataset.json").write_text(json.dumps(sections))
    with pytest.raises(InputError, match=message):
        load_datalist(tmp_path, "test")


def test_an_unknown_section_and_a_broken_file_are_refused(tmp_path):
    with pytest.raises(InputError, match="training, validation, test"):
        load_datalist(tmp_path, "valdation")
    with pytest.raises(InputError, match="folder with dataset.json"):
        load_datalist(tmp_path, "test")
    (tmp_path / "dataset.json").write_text("{")
    with pytest.raises(InputError, match="is a JSON file"):
        load_datalist(tmp_path, "test")


def test_the_split_does_not_depend_on_the_order_of_the_cases():
    cases = [{"image": str(n), "patient": str(n % 5)} for n in range(10)]
    held_out = {entry["patient"] for entry in split_by_patient(cases, 0.2, seed=1)[1]}
    assert held_out == {entry["patient"] for entry in split_by_patient(cases[::-1], 0.2, seed=1)[1]}
    assert len(held_out) == 1


def test_one_patient_cannot_be_split():
    with pytest.raises(InputError, match="two patients"):
        split_by_patient([{"image": "a", "patient": "p"}] * 3, 0.2, seed=0)


def names(scans: list[dict[str, str]]) -> list[str]:
    return [scan["case"] for scan in scans]


def test_the_test_list_is_what_inference_takes(tmp_path):
    root = dataset(tmp_path / "d", training=[case(1)], test=["./imagesTs/a.nii.gz", {"image": "./imagesTs/b.nii"}])
    assert find_scans(root) == [
        {"image": str(root / "imagesTs/a.nii.gz"), "case": "a"},
        {"image": str(root / "imagesTs/b.nii"), "case": "b"},
    ]


def test_without_test_list_all_images_are_taken(tmp_path):
    root = dataset(tmp_path / "d", training=[case(1)], validation=[case(2)], test=[])
    assert names(find_scans(root)) == ["p1", "p2"]


def test_a_folder_is_searched_for_nifti_files_and_dicom_folders(tmp_path):
    for name in ("b.nii", "deep/a.nii.gz", ".hidden.nii", "notes.txt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / "series").mkdir()
    (tmp_path / "series" / "image_0").write_bytes(b"\0" * 128 + b"DICM")
    assert names(find_scans(tmp_path)) == ["b", "a", "series"]
    assert find_scans(tmp_path)[2]["image"] == str(tmp_path / "series")


def test_equal_file_names_get_the_folder_into_their_case(tmp_path):
    for patient in ("p1", "p2"):
        (tmp_path / patient).mkdir()
        (tmp_path / patient / "ct.nii.gz").touch()
    assert names(find_scans(tmp_path)) == ["p1_ct", "p2_ct"]


def test_one_scan_is_a_list_of_one(tmp_path):
    (tmp_path / "a.b.nii.gz").touch()
    assert find_scans(tmp_path / "a.b.nii.gz") == [{"image": str(tmp_path / "a.b.nii.gz"), "case": "a.b"}]


def test_a_path_without_scans_is_refused(tmp_path):
    with pytest.raises(InputError, match="no .nii, no .nii.gz and no DICOM"):
        find_scans(tmp_path)
    with pytest.raises(InputError, match="no such file or folder"):
        find_scans(tmp_path / "none")


@pytest.mark.parametrize(
    ("file", "case"),
    [
        ("scan.nii.gz", "scan"),
        ("...nii.gz", "scan"),
        (".nii", "scan"),
        ("a\nb.nii", "a_b"),
        ("a: b?.nii", "a_ b_"),
        ("\udcff.nii", "_"),
        ("ü" * 100 + ".nii", "ü" * 75),
    ],
)
def test_a_case_has_a_name_that_every_system_takes_for_a_folder(file, case):
    assert case_name(file) == case


def test_long_names_that_begin_alike_stay_apart(tmp_path):
    for folder in ("p" * 200, "q"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / f"{'a' * 200}.nii").touch()
        (tmp_path / folder / f"{'a' * 200}b.nii").touch()
    cases = [scan["case"] for scan in find_scans(tmp_path)]
    assert len(set(cases)) == 4 and max(map(len, cases)) < 160


def test_a_dataset_file_without_end_is_refused(tmp_path):
    (tmp_path / "dataset.json").write_text("[" * 100_000)
    with pytest.raises(InputError, match="dataset.json is a JSON file"):
        find_scans(tmp_path)
