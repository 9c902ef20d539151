from __future__ import annotations

import numpy as np
import pytest
import torch
from matplotlib.image import imread
from monai.data import MetaTensor
from monai.transforms import Orientation

from bundle.write import SaveMontaged, draw_montage
from bundle.write.montage import _as_ras, _choose_slices, _plane

RAS_LABELS = (("L", "R"), ("P", "A"), ("I", "S"))


def volume(voxels: np.ndarray) -> MetaTensor:
    meta = {"affine": torch.diag(torch.tensor([1.0, 2.0, 4.0, 1.0])), "filename_or_obj": "scan.nii.gz"}
    return MetaTensor(torch.from_numpy(voxels)[None], meta=meta)


def scan_and_mask() -> tuple[MetaTensor, MetaTensor]:
    voxels = np.full((24, 20, 16), -1000, dtype=np.int16)
    voxels[2:22, 2:18] = 40
    inside = np.zeros(voxels.shape, dtype=np.uint8)
    inside[14:18, 8:12, 4:12] = 1
    return volume(voxels), volume(inside)


def test_right_front_and_head_come_first():
    voxels = np.zeros((4, 5, 6))
    voxels[3, 4, 5] = 1  # the corner at the patient's right, front and head
    assert _plane(voxels, 2, 5)[0, 0] == 1
    assert _plane(voxels, 1, 4)[0, 0] == 1
    assert _plane(voxels, 0, 3)[0, 0] == 1
    assert _plane(voxels, 2, 5).shape == (5, 4)


@pytest.mark.parametrize("axcodes", ["LPS", "SRA", "PIL"])
def test_any_orientation_is_shown_alike(axcodes):
    scan, _ = scan_and_mask()
    scan[0, 3, 5, 7] = 99
    turned, spacing_mm = _as_ras(Orientation(axcodes=axcodes, labels=RAS_LABELS)(scan))
    np.testing.assert_array_equal(turned, scan[0].numpy())
    assert spacing_mm.tolist() == [1, 2, 4]


def test_slices_go_through_the_mask_from_head_to_feet():
    _, mask = scan_and_mask()
    axial = [index for axis, index in _choose_slices(mask[0].numpy()) if axis == 2]
    assert axial == [10, 8, 7, 5]
    assert (1, 8) in _choose_slices(mask[0].numpy())
    assert (0, 14) in _choose_slices(mask[0].numpy())


def yellow(path) -> int:
    picture = imread(path)[..., :3]
    return int(((picture[..., 0] > 0.8) & (picture[..., 1] > 0.6) & (picture[..., 2] < 0.3)).sum())


def test_the_contour_is_drawn_and_nothing_for_an_empty_mask(tmp_path):
    scan, mask = scan_and_mask()
    draw_montage(scan, mask, tmp_path / "a.png")
    draw_montage(scan, mask * 0, tmp_path / "b.png")
    assert yellow(tmp_path / "a.png") > 500
    assert yellow(tmp_path / "b.png") == 0


def test_the_picture_lands_in_the_folder_of_its_case(tmp_path):
    scan, mask = scan_and_mask()
    SaveMontaged("pred", tmp_path)({"image": scan, "pred": mask, "case": "a"})
    assert (tmp_path / "a" / "overlay.png").stat().st_size > 0


def test_another_grid_is_refused(tmp_path):
    scan, mask = scan_and_mask()
    with pytest.raises(ValueError, match="share one grid"):
        draw_montage(scan, mask[:, :-1], tmp_path / "a.png")
