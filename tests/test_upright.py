from __future__ import annotations

import pickle

import numpy as np
import pytest
import torch
from monai.data import MetaTensor
from monai.transforms import Compose, Orientationd

from bundle.preprocess.upright import RestoreAsReadd, Uprightd, resample_between, upright_grid
from bundle.read import LoadScand, dicom_source, read_scan
from bundle.read.checks import MAX_SHEAR_DEGREES
from bundle.write import InvertWithReportd
from tests.dicom_phantoms import write_slice

TO_RAS = Orientationd("image", axcodes="RAS", labels=(("L", "R"), ("P", "A"), ("I", "S")))


def tilted_stack(degrees: float) -> np.ndarray:
    """Axial pictures of 1 x 1.5 mm, 2 mm apart, each shifted to the back of the one below."""
    affine = np.diag([-1.0, -1.5, 2.0, 1.0])
    affine[1, 2] = -2 * np.tan(np.radians(degrees))
    affine[:3, 3] = (20, 30, -10)
    return affine


def tilted_pictures(degrees: float) -> np.ndarray:
    """Pictures tilted about the x axis and stacked straight up, as a tilted gantry makes them."""
    tilt = np.radians(degrees)
    affine = np.diag([-1.0, 0.0, 2.0, 1.0])
    affine[1, 1], affine[2, 1] = -1.5 * np.cos(tilt), -1.5 * np.sin(tilt)
    affine[:3, 3] = (20, 30, -10)
    return affine


def ball(affine: np.ndarray, shape: tuple[int, int, int], centre_mm: np.ndarray, radius_mm: float) -> np.ndarray:
    index = np.stack(np.meshgrid(*map(np.arange, shape), indexing="ij"), axis=-1)
    return np.linalg.norm(index @ affine[:3, :3].T + affine[:3, 3] - centre_mm, axis=-1) <= radius_mm


def middle_mm(affine: np.ndarray, shape: tuple[int, int, int]) -> np.ndarray:
    return affine[:3, :3] @ ((np.array(shape) - 1) / 2) + affine[:3, 3]


def test_planes_that_are_upright_already_are_kept():
    # 4 mm to the back over 4 steps of 2 mm, and 3 pictures' rows of 1.5 mm: y takes 3 + 4 = 7 mm, 1.5 mm apart.
    affine, shape = upright_grid(tilted_stack(np.degrees(np.arctan(0.5))), (3, 3, 5))
    np.testing.assert_allclose(np.diag(affine), [1, 1.5, 2, 1])
    np.testing.assert_allclose(affine[:3, 3], [18, 23, -10])
    assert shape == (3, 6, 5)


@pytest.mark.parametrize("tilted", [tilted_stack, tilted_pictures])
@pytest.mark.parametrize("degrees", [-30, 12, 30])
def test_every_voxel_centre_lies_in_the_upright_grid(tilted, degrees):
    own, size = tilted(degrees), (9, 11, 13)
    affine, shape = upright_grid(own, size)
    for corner in np.ndindex(2, 2, 2):
        place = np.linalg.inv(affine) @ own @ [*(np.array(corner) * (np.array(size) - 1)), 1]
        assert (place[:3] > -0.01).all() and (place[:3] < np.array(shape) - 0.99).all()


def test_a_shifted_plane_keeps_its_values():
    # the upper plane lies exactly one row further along y
    volume = np.arange(12, dtype=np.int16).reshape(2, 3, 2)
    sheared = np.eye(4)
    sheared[1, 2] = 1
    moved = resample_between(volume, sheared, np.eye(4), (2, 4, 2), order=1, outside=-1000)
    np.testing.assert_array_equal(moved[:, :3, 0], volume[:, :, 0])
    np.testing.assert_array_equal(moved[:, 1:, 1], volume[:, :, 1])
    assert moved.dtype == np.int16 and (moved[:, 3, 0] == -1000).all() and (moved[:, 0, 1] == -1000).all()


def scan(affine: np.ndarray, shape: tuple[int, int, int]) -> MetaTensor:
    """A ball of 50 HU, radius 8 mm, in the middle of fat."""
    hu = np.where(ball(affine, shape, middle_mm(affine, shape), 8), 50, -100).astype(np.int16)
    return MetaTensor(torch.from_numpy(hu)[None], affine=torch.from_numpy(affine), meta={"filename_or_obj": "a"})


def test_an_upright_scan_is_passed_on_as_it_is():
    image = scan(np.diag([-1.0, 1.0, 2.0, 1.0]), (12, 12, 12))
    data = Uprightd("image")({"image": image})
    assert data["image"] is image and list(data) == ["image"]


@pytest.mark.parametrize("tilted", [tilted_stack, tilted_pictures])
@pytest.mark.parametrize("degrees", [-25, 12, 30])
def test_a_mask_comes_back_to_the_same_place_of_the_patient(tilted, degrees):
    own, shape = tilted(degrees), (30, 26, 24)
    preprocessing = Compose([Uprightd("image"), TO_RAS])
    data = preprocessing({"image": scan(own, shape)})
    upright = data["image"]
    np.testing.assert_allclose(upright.affine[:3, :3] / upright.pixdim, np.eye(3), atol=1e-9)
    found = (upright.as_tensor() > -25).to(torch.uint8)
    centroid_mm = upright.affine[:3, :3].numpy() @ found[0].nonzero().double().mean(0).numpy()
    np.testing.assert_allclose(centroid_mm + upright.affine[:3, 3].numpy(), middle_mm(own, shape), atol=0.2)

    data["pred"] = MetaTensor(found, meta=dict(upright.meta) | {"cascade": "{}"})
    pred = InvertWithReportd("pred", transform=preprocessing, orig_keys="image", nearest_interp=False)(data)["pred"]
    truth = ball(own, shape, middle_mm(own, shape), 8)
    mask = pred[0].numpy() > 0
    assert pred.dtype == torch.uint8 and pred.meta["cascade"] == "{}" and mask.shape == shape
    np.testing.assert_allclose(pred.affine.numpy(), own)
    assert 2 * (mask & truth).sum() / (mask.sum() + truth.sum()) > 0.95
    assert np.linalg.norm(np.argwhere(mask).mean(0) - np.argwhere(truth).mean(0)) < 0.1


def test_probabilities_come_back_as_fractions():
    own, shape = tilted_stack(20), (20, 20, 16)
    preprocessing = Compose([Uprightd("image"), TO_RAS])
    data = preprocessing({"image": scan(own, shape)})
    data["pred"] = MetaTensor(torch.full(data["image"].shape, 0.25), meta=dict(data["image"].meta))
    pred = InvertWithReportd("pred", transform=preprocessing, orig_keys="image", nearest_interp=False)(data)["pred"]
    np.testing.assert_allclose(pred[0, 2:-2, 2:-2, 2:-2].numpy(), 0.25, atol=1e-6)


def test_the_scan_as_it_was_read_can_be_had_again():
    image = scan(tilted_stack(20), (12, 12, 12))
    data = Uprightd("image")({"image": image})
    assert data["image"].shape != image.shape
    restored = RestoreAsReadd("image")(data)
    assert restored["image"] is image and list(restored) == ["image"]
    assert RestoreAsReadd("image")({"image": image})["image"] is image


def test_a_tilted_dicom_series_goes_there_and_back(tmp_path):
    for index in range(9):
        write_slice(tmp_path, index, ImagePositionPatient=[-20, -30 - index, 100 + 2.5 * index])
    preprocessing = Compose([LoadScand("image", max_shear_degrees=MAX_SHEAR_DEGREES), Uprightd("image"), TO_RAS])
    data = preprocessing({"image": str(tmp_path)})
    data["pred"] = MetaTensor((data["image"].as_tensor() > 0).to(torch.uint8), meta=dict(data["image"].meta))
    data = InvertWithReportd("pred", transform=preprocessing, orig_keys="image", nearest_interp=False)(data)
    data = RestoreAsReadd("image")(data)
    read = read_scan(tmp_path)
    np.testing.assert_array_equal(data["image"].numpy(), read.numpy())
    np.testing.assert_allclose(data["pred"].affine.numpy(), read.affine.numpy())
    assert len(dicom_source(data["pred"].meta).files) == 9
    clear = read.as_tensor().abs() > 100  # the others are within a voxel of the surface: rows differ by 90 HU
    assert ((data["pred"].as_tensor() > 0) == (read.as_tensor() > 0))[clear].double().mean() > 0.97


def test_the_transforms_can_be_pickled():
    assert pickle.loads(pickle.dumps(Uprightd("image"))).tolerance_degrees == 1
    pickle.loads(pickle.dumps(RestoreAsReadd("image")))
