from __future__ import annotations

import numpy as np
import pytest

from bundle.errors import InputError
from bundle.read.checks import check_affine, check_shape, check_shear, check_voxels, same_grid, shear_degrees


def hounsfield_phantom() -> np.ndarray:
    """A body of soft tissue (50) with a coat of fat (-100) in air (-1000)."""
    voxels = np.full((16, 16, 16), -1000, dtype=np.int16)
    voxels[2:14, 2:14] = -100
    voxels[4:12, 4:12] = 50
    return voxels


@pytest.mark.parametrize(("shape", "kept"), [((9, 8, 10), (9, 8, 10)), ((9, 8, 10, 1), (9, 8, 10))])
def test_a_single_volume_has_three_dimensions(shape, kept):
    assert check_shape("a.nii", shape) == kept


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        ((64, 64), "2-D image, 64x64"),
        ((64, 64, 1), "2-D image"),
        ((64, 64, 1, 1), "2-D image"),
        ((64, 64, 20, 3), "4 dimensions, 64x64x20x3"),
        ((64, 64, 7), "at least 8 voxels"),
        ((64, 64, 1501), "at most 1500"),
    ],
)
def test_other_shapes_are_refused(shape, message):
    with pytest.raises(InputError, match=f"a.nii: .*{message}"):
        check_shape("a.nii", shape)


def test_fifteen_hundred_slices_are_accepted():
    assert check_shape("a.nii", (512, 512, 1500)) == (512, 512, 1500)


def sheared(degrees: float) -> np.ndarray:
    affine = np.diag([1.0, 1.0, 5.0, 1.0])
    affine[1, 2] = 5 * np.tan(np.radians(degrees))
    return affine


@pytest.mark.parametrize(
    ("affine", "message"),
    [
        (np.diag([1.0, 1.0, 0.0, 1.0]), "invertible"),
        (np.diag([1.0, 1.0, np.nan, 1.0]), "finite"),
        (np.diag([1.0, 1.0, 10.1, 1.0]), "at most 10 mm apart; received 1 x 1 x 10.1 mm"),
        (np.diag([0.001, 0.001, 0.002, 1.0]), "Write the spacing in millimetres"),
        (sheared(35), "35.0 degrees of tilt"),
        (np.array([[1, 0, 0, 0], [0, 1, 0, -1e30], [0, 0, 1, 0], [0, 0, 0, 1]]), "within 100 m of the origin"),
    ],
)
def test_an_affine_that_no_scan_has_is_refused(affine, message):
    with pytest.raises(InputError, match=message):
        check_affine("a.nii", affine)


@pytest.mark.parametrize("affine", [np.diag([-0.7, 0.7, 10.0, 1.0]), sheared(0.5), sheared(30)])
def test_flips_thick_slices_and_gantry_tilt_are_accepted(affine):
    check_affine("a.nii", affine)


def test_shear_is_the_angle_that_is_missing_to_a_right_one():
    assert shear_degrees(np.diag([-1.0, 2.0, 3.0, 1.0])) == 0
    assert shear_degrees(sheared(12)) == pytest.approx(12)


def test_a_pipeline_that_needs_right_angles_can_ask_for_them():
    with pytest.raises(InputError, match=r"at right angles \(no gantry tilt\); received 15.0 degrees of tilt"):
        check_shear("a.nii", sheared(15), max_shear_degrees=1)


def test_hounsfield_units_are_accepted():
    check_voxels("a.nii", hounsfield_phantom())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda hu: (hu + 1000) / 1050, "before it was windowed or normalised"),
        (lambda hu: (hu + 1000) * 255 / 1050, "before it was windowed or normalised"),
        (lambda hu: (hu - hu.mean()) / hu.std(), "before it was windowed or normalised"),
        (lambda hu: hu + 1024, "Subtract 1024"),
        (lambda hu: hu - 1024, "rescale slope and intercept"),
    ],
)
def test_other_units_are_refused_with_a_remedy(change, message):
    with pytest.raises(InputError, match=f"Hounsfield units.*{message}"):
        check_voxels("a.nii", change(hounsfield_phantom().astype(np.float32)))


def test_other_units_pass_where_nobody_asks_for_hounsfield_units():
    check_voxels("a.nii", hounsfield_phantom() + 1024, hounsfield=False)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_a_voxel_that_is_no_number_is_refused(value):
    voxels = hounsfield_phantom().astype(np.float32)
    voxels[3, 4, 5] = value
    with pytest.raises(InputError, match="finite number"):
        check_voxels("a.nii", voxels)


def test_a_constant_image_is_refused():
    with pytest.raises(InputError, match="the value 7 in every voxel"):
        check_voxels("a.nii", np.full((8, 8, 8), 7))


def test_grids_agree_up_to_half_a_voxel_at_the_corners():
    moved = np.eye(4)
    moved[0, 3] = 0.5
    assert same_grid(np.eye(4), moved, (10, 10, 10))
    # 6 % more spacing over nine voxels moves the far corner by 0.54 voxels
    assert not same_grid(np.eye(4), np.diag([1.06, 1, 1, 1]), (10, 10, 10))
