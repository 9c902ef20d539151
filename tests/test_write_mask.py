from __future__ import annotations

import nibabel as nib
import numpy as np
import pytest
import torch
from monai.data import MetaTensor

from bundle.read import read_scan
from bundle.write import SaveMaskd, write_mask
from bundle.write.case import foreground_box, volume_ml

# Oblique axes order, flips and unequal spacing, so that a swapped axis fails.
AFFINE = np.array([[0, 2.0, 0, 5], [-1.5, 0, 0, -7], [0, 0, 3.0, 11], [0, 0, 0, 1]])


def mask() -> MetaTensor:
    voxels = torch.zeros(1, 8, 9, 10)
    voxels[0, 2:4, 3, 4:7] = 1
    return MetaTensor(voxels, meta={"affine": torch.from_numpy(AFFINE), "filename_or_obj": "folder/scan.nii.gz"})


def test_the_file_holds_the_mask_as_bytes_on_its_grid(tmp_path):
    write_mask(mask(), tmp_path / "out" / "m.nii.gz")
    image = nib.load(tmp_path / "out" / "m.nii.gz")
    assert image.get_data_dtype() == np.uint8
    np.testing.assert_array_equal(np.asanyarray(image.dataobj), mask()[0].numpy())
    np.testing.assert_allclose(image.affine, AFFINE)
    np.testing.assert_allclose(image.get_qform(), AFFINE, atol=1e-5)


def test_an_empty_mask_is_a_file_of_zeros(tmp_path):
    write_mask(mask() * 0, tmp_path / "m.nii.gz")
    assert not np.asanyarray(nib.load(tmp_path / "m.nii.gz").dataobj).any()


@pytest.mark.parametrize("axcodes", [("R", "A", "S"), ("L", "P", "S"), ("I", "R", "P")])
def test_what_was_read_is_written_on_the_same_grid(tmp_path, axcodes):
    voxels = np.arange(8 * 9 * 10).reshape(8, 9, 10).astype(np.int16) - 300
    image = nib.Nifti1Image(voxels, np.diag([1, 2, 3, 1]))
    target = nib.orientations.axcodes2ornt(axcodes)
    image = image.as_reoriented(nib.orientations.ornt_transform(nib.io_orientation(image.affine), target))
    nib.save(image, tmp_path / "scan.nii.gz")
    scan = read_scan(tmp_path / "scan.nii.gz")
    write_mask(scan > 100, tmp_path / "m.nii.gz")
    written = nib.load(tmp_path / "m.nii.gz")
    np.testing.assert_allclose(written.affine, image.affine)
    np.testing.assert_array_equal(np.asanyarray(written.dataobj), np.asanyarray(image.dataobj) > 100)


def test_the_case_is_named_after_its_file_unless_it_has_a_name(tmp_path):
    SaveMaskd("pred", tmp_path)({"pred": mask()})
    SaveMaskd("pred", tmp_path)({"pred": mask(), "case": "a"})
    assert sorted(path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*.nii.gz")) == [
        "a/segmentation.nii.gz",
        "scan/segmentation.nii.gz",
    ]


def test_the_volume_is_voxels_times_the_size_of_one():
    assert volume_ml(mask()) == pytest.approx(6 * 2 * 1.5 * 3 / 1000)
    assert volume_ml(mask() * 0) == 0


def test_the_foreground_box_is_tight():
    assert foreground_box(mask()[0].numpy()) == (slice(2, 4), slice(3, 4), slice(4, 7))
    assert foreground_box(np.zeros((3, 3, 3))) is None
