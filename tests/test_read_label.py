from __future__ import annotations

import logging
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import torch

from bundle.errors import InputError
from bundle.read import LoadLabeld, LoadScand, read_label


def save(path: Path, array: np.ndarray, spacing_mm: float = 1.0) -> Path:
    nib.save(nib.Nifti1Image(array, np.diag([spacing_mm, 1, 1, 1])), path)
    return path


def values(dtype=np.uint8) -> np.ndarray:
    array = np.zeros((8, 9, 10), dtype=dtype)
    array[2, 3, 4] = 1
    array[5, 6, 7] = 2
    return array


@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.float64])
def test_values_become_classes(tmp_path, dtype):
    label = read_label(save(tmp_path / "a.nii", values(dtype)), classes={0: 0, 1: 1, 2: 1})
    assert label.dtype == torch.uint8
    np.testing.assert_array_equal(label[0].numpy(), np.minimum(values(), 1))


def test_an_unknown_value_is_named_with_its_voxels(tmp_path):
    path = save(tmp_path / "a.nii", values())
    with pytest.raises(InputError, match=r"a\.nii: label values are among 0, 1; received value 2 in 1 voxels"):
        read_label(path, classes={0: 0, 1: 1})


@pytest.mark.parametrize("change", [0.5, -1, 300])
def test_values_that_are_no_small_integers_are_refused(tmp_path, change):
    with pytest.raises(InputError, match="integers from 0 to 255"):
        read_label(save(tmp_path / "a.nii", values(np.float32) + change))


def test_an_empty_label_is_accepted_with_a_note(tmp_path, caplog):
    path = save(tmp_path / "a.nii", np.zeros((8, 9, 10), np.uint8))
    with caplog.at_level(logging.WARNING):
        assert not read_label(path).any()
    assert "no foreground" in caplog.text


def test_an_empty_label_is_refused_on_request(tmp_path):
    path = save(tmp_path / "a.nii", np.zeros((8, 9, 10), np.uint8))
    with pytest.raises(InputError, match="background everywhere"):
        read_label(path, allow_empty=False)


@pytest.mark.parametrize(
    ("shape", "spacing_mm", "message"),
    [((9, 9, 10), 1.0, "9x9x10 for the 8x9x10 of"), ((8, 9, 10), 1.2, "lies on the grid of its scan")],
)
def test_a_label_on_another_grid_is_refused(tmp_path, shape, spacing_mm, message):
    scan = np.arange(720).reshape(8, 9, 10) - 500
    case = {
        "image": save(tmp_path / "image.nii", scan.astype(np.int16)),
        "label": save(tmp_path / "label.nii", np.ones(shape, np.uint8), spacing_mm),
    }
    with pytest.raises(InputError, match=message):
        LoadLabeld("label")(LoadScand("image")(case))
