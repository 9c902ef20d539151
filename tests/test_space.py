"""bundle.preprocess.space: crops and resampling that keep every voxel at its place in the patient."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from monai.data import MetaTensor

from bundle.geometry import Grid
from bundle.preprocess import CropAroundLabeld, ResampleToSpacingd, grid_of, to_ras

SHAPE = (20, 16, 12)
AFFINE = torch.tensor(
    [[1.0, 0.0, 0.0, -30.0], [0.0, 2.0, 0.0, 50.0], [0.0, 0.0, 4.0, 7.0], [0.0, 0.0, 0.0, 1.0]], dtype=torch.float64
)


def scan_and_label(value: int = 1) -> dict[str, MetaTensor]:
    """A scan whose value is the voxel's own X index, and a label of 4 x 2 x 2 voxels."""
    image = torch.arange(SHAPE[0], dtype=torch.int16).reshape(1, -1, 1, 1).expand(1, *SHAPE).clone()
    label = torch.zeros(1, *SHAPE, dtype=torch.uint8)
    label[0, 8:12, 6:8, 5:7] = value
    return {"image": MetaTensor(image, affine=AFFINE), "label": MetaTensor(label, affine=AFFINE)}


def outer_corners(volume: MetaTensor) -> np.ndarray:
    """(2, 3) mm of the outer edges of the first and the last voxel."""
    corners = np.array([[-0.5, -0.5, -0.5], np.array(volume.shape[-3:]) - 0.5])
    affine = np.asarray(volume.affine)
    return corners @ affine[:3, :3].T + affine[:3, 3]


def test_grid_is_read_from_shape_and_affine():
    assert grid_of(scan_and_label()["image"]) == Grid(SHAPE, (1.0, 2.0, 4.0))


def test_axes_are_turned_to_ras_with_every_voxel_at_its_place():
    # Axes to the head, the left and the front.
    affine = torch.tensor([[0, -2, 0, 9], [0, 0, 3, 8], [5, 0, 0, 7], [0, 0, 0, 1]], dtype=torch.float64)
    turned = to_ras(MetaTensor(torch.arange(24).reshape(1, 2, 3, 4), affine=affine))
    # The first voxel, at (9, 8, 7) mm, is the last along X, with -2 mm per voxel.
    assert turned.shape == (1, 3, 4, 2) and turned[0, 2, 0, 0] == 0 and turned[0, 1, 0, 0] == 4
    expected = torch.tensor([[2, 0, 0, 5], [0, 3, 0, 8], [0, 0, 5, 7], [0, 0, 0, 1]], dtype=torch.float64)
    assert torch.equal(turned.affine, expected)


def test_spacing_of_an_oblique_grid_is_the_length_of_its_columns():
    oblique = AFFINE.clone()
    oblique[:3, 0] = torch.tensor([0.6, 0.8, 0.0])
    assert grid_of(MetaTensor(torch.zeros(1, *SHAPE), affine=oblique)).spacing_mm == pytest.approx((1, 2, 4))


def test_crop_grows_the_label_by_millimetres():
    # A margin of 4 mm is 4, 2 and 1 voxels.
    cropped = CropAroundLabeld(["image", "label"], "label", margin_mm=4)(scan_and_label())
    assert cropped["image"].shape == cropped["label"].shape == (1, 12, 6, 4)
    assert cropped["image"][0, 0, 0, 0] == 4


def test_crop_stays_inside_the_scan():
    cropped = CropAroundLabeld(["image", "label"], "label", margin_mm=100)(scan_and_label())
    assert cropped["image"].shape == (1, *SHAPE)


def test_affine_of_a_crop_points_at_the_same_millimetres():
    cropped = CropAroundLabeld("image", "label", margin_mm=4)(scan_and_label())["image"]
    # Voxel 0 of the crop is voxel (4, 4, 4): -30 + 4, 50 + 2 * 4, 7 + 4 * 4.
    assert np.asarray(cropped.affine)[:3, 3].tolist() == [-26, 58, 23]


def test_scan_without_the_organ_is_cropped_about_its_middle():
    # 10 x 16 x 16 mm are 10, 8 and 4 voxels about the middle of 20, 16 and 12.
    crop = CropAroundLabeld(["image", "label"], "label", margin_mm=4, size_without_mm=(10, 16, 16))
    cropped = crop(scan_and_label(value=2))
    assert cropped["image"].shape == (1, 10, 8, 4)
    assert cropped["image"][0, 0, 0, 0] == 5


def test_another_label_value_is_looked_for():
    assert CropAroundLabeld("image", "label", margin_mm=0, value=2)(scan_and_label(2))["image"].shape == (1, 4, 2, 2)


def test_resampling_keeps_the_outer_edges():
    data = scan_and_label()
    for volume in ResampleToSpacingd(["image", "label"], (3, 3, 3))(data).values():
        assert np.allclose(outer_corners(volume), outer_corners(data["image"]))


def test_resampled_spacing_is_the_nearest_that_fits():
    # 20, 32 and 48 mm at about 3 mm: 7, 11 and 16 voxels.
    image = ResampleToSpacingd("image", (3, 3, 3))(scan_and_label())["image"]
    assert image.shape == (1, 7, 11, 16)
    assert grid_of(image).spacing_mm == pytest.approx((20 / 7, 32 / 11, 3))


def test_values_stay_at_their_place():
    # The image is the X index; 40 voxels of 0.5 mm lie at index (j + 0.5) / 2 - 0.5, edges padded.
    image = ResampleToSpacingd("image", (0.5, 2, 4))(scan_and_label())["image"]
    assert image[0, :, 3, 3].tolist() == pytest.approx([0, *[(j + 0.5) / 2 - 0.5 for j in range(1, 39)], 19])


def test_label_keeps_its_values_and_type():
    label = ResampleToSpacingd(["image", "label"], (3, 3, 3))(scan_and_label(value=13))["label"]
    assert label.dtype == torch.uint8
    assert set(label.as_tensor().unique().tolist()) == {0, 13}


def test_input_affine_is_left_as_it_was():
    data = scan_and_label()
    ResampleToSpacingd(["image", "label"], (3, 3, 3))(data)
    assert torch.equal(data["image"].affine, AFFINE)


def test_crop_grows_the_label_by_voxels():
    cropped = CropAroundLabeld(["image", "label"], "label", margin_voxels=2)(scan_and_label())
    assert cropped["image"].shape == (1, 8, 6, 6)
    assert cropped["image"][0, 0, 0, 0] == 6


def test_voxels_of_a_plain_tensor_are_one_millimetre():
    data = {key: volume.as_tensor() for key, volume in scan_and_label().items()}
    assert CropAroundLabeld("image", "label", margin_mm=1)(data)["image"].shape == (1, 6, 4, 4)


@pytest.mark.parametrize("resampling", ["linear", "mean", "nearest"])
def test_downsampling_counts_voxels(resampling):
    resample = ResampleToSpacingd(["image", "label"], downsample=4, resampling=resampling)
    data = resample(scan_and_label())
    assert grid_of(data["image"]) == grid_of(data["label"]) == Grid((5, 4, 3), (4.0, 8.0, 16.0))
