from __future__ import annotations

import nibabel as nib
import numpy as np
import pytest
import torch
from monai.data import MetaTensor

from bundle.write.probabilities import SaveProbabilitiesd, write_probabilities

AFFINE = np.array([[0, 2.0, 0, 5], [-1.5, 0, 0, -7], [0, 0, 3.0, 11], [0, 0, 0, 1]])


def probabilities(*values: float) -> MetaTensor:
    voxels = torch.zeros(1, 4, 5, 6)
    voxels[0, 1, 2, : len(values)] = torch.tensor(values)
    return MetaTensor(voxels, meta={"affine": torch.from_numpy(AFFINE)})


def test_the_file_holds_percent_as_bytes_on_the_grid(tmp_path):
    write_probabilities(probabilities(0.0, 0.25, 1.0), tmp_path / "p.nii.gz")
    image = nib.load(tmp_path / "p.nii.gz")
    assert image.get_data_dtype() == np.uint8
    assert np.asanyarray(image.dataobj)[1, 2].tolist() == [0, 25, 100, 0, 0, 0]
    np.testing.assert_allclose(image.affine, AFFINE)


@pytest.mark.parametrize(("probability", "percent"), [(0.5, 50), (0.49999997, 49), (0.999, 99), (1.00001, 100), (0, 0)])
def test_probabilities_are_rounded_down(tmp_path, probability, percent):
    write_probabilities(probabilities(probability), tmp_path / "p.nii.gz")
    assert np.asanyarray(nib.load(tmp_path / "p.nii.gz").dataobj)[1, 2, 0] == percent


def test_the_file_lies_in_the_folder_of_its_case(tmp_path):
    SaveProbabilitiesd("probabilities", tmp_path)({"probabilities": probabilities(0.5), "case": "a"})
    assert (tmp_path / "a" / "probabilities.nii.gz").is_file()
