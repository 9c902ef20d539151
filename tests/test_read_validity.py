from __future__ import annotations

import logging
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from monai.transforms import Compose

from bundle.errors import InputError, input_error
from bundle.read import LoadScand, check_datalist, checked_scans


def save(path: Path, array: np.ndarray) -> str:
    nib.save(nib.Nifti1Image(array.astype(np.int16), np.eye(4)), path)
    return str(path)


@pytest.fixture
def cases(tmp_path: Path) -> list[dict[str, str]]:
    """A good case, one without file, one with a label of another shape, one that only its voxels betray."""
    good = save(tmp_path / "good.nii", np.arange(512).reshape(8, 8, 8) - 300)
    return [
        {"image": good, "label": good},
        {"image": str(tmp_path / "gone.nii")},
        {"image": good, "label": save(tmp_path / "small.nii", np.zeros((8, 8, 9)))},
        {"image": save(tmp_path / "constant.nii", np.zeros((8, 8, 8)))},
    ]


def test_invalid_cases_are_left_out_and_named(cases, caplog):
    with caplog.at_level(logging.WARNING):
        assert checked_scans(cases) == [cases[0], cases[3]]
    assert [record.getMessage().count("\n") for record in caplog.records] == [0, 0]
    assert "gone.nii" in caplog.text and "small.nii" in caplog.text


def test_voxels_are_checked_on_request(cases):
    assert checked_scans(cases, read_voxels=True) == [cases[0]]


def test_no_valid_case_is_an_error(cases):
    with pytest.raises(InputError, match=r"; 1 can't. Correct them or leave them out:\n  - .*gone\.nii[^\n]*$"):
        checked_scans(cases[1:2])


def test_for_training_all_problems_come_at_once(cases):
    with pytest.raises(InputError, match=r"(?s)2 can't.*gone\.nii.*small\.nii"):
        check_datalist(cases)


def test_good_cases_pass(cases):
    assert check_datalist(cases[:1]) == cases[:1]


def test_bad_input_is_found_behind_the_exceptions_of_monai(cases):
    with pytest.raises(RuntimeError) as caught:
        Compose([LoadScand("image")])(cases[1])
    assert "gone.nii" in str(input_error(caught.value))
    assert input_error(KeyError("x")) is None
