from __future__ import annotations

from itertools import permutations, product

import nibabel as nib
import numpy as np
import pytest
from monai.transforms import Orientationd

from bundle.read import LoadScand

ORIENTATIONS = ["".join(pick) for order in permutations(("LR", "PA", "IS")) for pick in product(*order)]
TO_RAS = Orientationd("image", axcodes="RAS", labels=(("L", "R"), ("P", "A"), ("I", "S")))
AFFINE = np.array([[0.7, 0, 0, -31], [0, 1.1, 0, 12.5], [0, 0, 2.5, 140], [0, 0, 0, 1]])


def test_there_are_48_orientations():
    assert len(set(ORIENTATIONS)) == 48


@pytest.mark.parametrize("axcodes", ORIENTATIONS)
def test_every_orientation_of_a_scan_is_the_same_volume_in_ras_order(tmp_path, axcodes):
    voxels = (np.arange(9 * 10 * 11).reshape(9, 10, 11) - 600).astype(np.int16)
    image = nib.Nifti1Image(voxels, AFFINE)
    change = nib.orientations.ornt_transform(
        nib.io_orientation(AFFINE), nib.orientations.axcodes2ornt(axcodes)
    )
    turned = image.as_reoriented(change)
    assert "".join(nib.aff2axcodes(turned.affine)) == axcodes
    nib.save(turned, tmp_path / "a.nii")
    scan = TO_RAS(LoadScand("image")({"image": str(tmp_path / "a.nii")}))["image"]
    np.testing.assert_array_equal(scan[0].numpy(), voxels)
    np.testing.assert_allclose(scan.affine.numpy(), AFFINE, atol=1e-5)
