"""bundle.geometry: boxes and grids against answers worked out by hand; unequal sizes, so that swapped axes fail."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from bundle.geometry import Box, Grid, spacing_of, tight_box

GRID = Grid((10, 20, 30), (1.0, 2.0, 4.0))
BOX = Box((1, 2, 3), (4, 8, 12))


def test_size_is_stop_minus_start():
    assert BOX.size == (3, 6, 9)


@pytest.mark.parametrize(("stop", "empty"), [((4, 8, 12), False), ((1, 8, 12), True), ((4, 8, 2), True)])
def test_box_is_empty_where_one_axis_is(stop, empty):
    assert Box((1, 2, 3), stop).is_empty is empty


def test_grow_adds_the_margin_on_both_sides_of_its_axis():
    assert BOX.grow([1, 2, 3]) == Box((0, 0, 0), (5, 10, 15))


def test_clip_cuts_at_both_borders():
    assert Box((-1, 2, 3), (4, 8, 40)).clip((10, 20, 30)) == Box((0, 2, 3), (4, 8, 30))


def test_at_least_grows_short_axes_about_the_middle_and_leaves_long_ones():
    # X: 3 -> 5, one more on either side; Y: 6 -> 8; Z is long enough.
    assert BOX.at_least([5, 8, 9]) == Box((0, 1, 3), (5, 9, 12))


def test_with_size_shrinks_too():
    # Y: the middle 5 of 2..8 is kept: 4..6; Z: 3..12 has its middle at 7.5, 3 voxels are 6..9.
    assert BOX.with_size([3, 2, 3]) == Box((1, 4, 6), (4, 6, 9))


@pytest.mark.parametrize("size", [(3, 2, 9), (4, 3, 8), (5, 7, 30)])
def test_with_size_moves_the_middle_by_half_a_voxel_at_most(size):
    box = BOX.with_size(size)
    assert box.size == size
    for a, b, c, d in zip(box.start, box.stop, BOX.start, BOX.stop):
        assert abs((a + b) - (c + d)) <= 1


def test_shift_inside_moves_and_keeps_the_size():
    assert Box((-2, 5, 25), (3, 8, 33)).shift_inside((10, 20, 30)) == Box((0, 5, 22), (5, 8, 30))


def test_shift_inside_a_smaller_grid_gives_the_whole_axis():
    assert Box((-2, 5, 5), (30, 8, 9)).shift_inside((10, 20, 30)) == Box((0, 5, 5), (10, 8, 9))


def test_union_holds_both():
    assert BOX.union(Box((2, 0, 5), (9, 3, 6))) == Box((1, 0, 3), (9, 8, 12))


def test_relative_to_counts_from_the_start_of_the_origin():
    assert BOX.relative_to(Box((1, 1, 1), (9, 9, 20))) == Box((0, 1, 2), (3, 7, 11))


def test_on_covers_the_same_piece():
    # X: 1/10..4/10 of 5 voxels is 0.5..2 -> 0..2. Y: twice as many voxels. Z: 3/30..12/30 of 20 is 2..8.
    assert BOX.on(GRID, GRID.with_size((5, 40, 20))) == Box((0, 4, 2), (2, 16, 8))


@pytest.mark.parametrize("size", [(5, 7, 9), (10, 20, 30), (23, 41, 64)])
def test_there_and_back_covers_the_box(size):
    other = GRID.with_size(size)
    back = BOX.on(GRID, other).on(other, GRID)
    assert back.union(BOX) == back


def test_whole_grid_stays_the_whole_grid():
    other = GRID.with_size((3, 7, 64))
    assert GRID.box.on(GRID, other) == other.box


def test_crop_is_a_view_of_the_last_three_axes():
    volume = torch.zeros(2, 10, 20, 30)
    BOX.crop(volume)[...] = 1
    assert BOX.crop(volume).shape == (2, 3, 6, 9)
    assert volume.sum() == 2 * 3 * 6 * 9


def test_crop_of_a_grid_keeps_the_spacing():
    assert GRID.crop(BOX) == Grid((3, 6, 9), (1.0, 2.0, 4.0))


def test_resampled_grid_covers_the_same_millimetres():
    # 10 mm, 40 mm and 120 mm at about 3 mm: 3, 13 and 40 voxels.
    grid = GRID.resampled((3, 3, 3))
    assert grid.size == (3, 13, 40)
    assert grid.spacing_mm == pytest.approx((10 / 3, 40 / 13, 3))


def test_resampled_grid_has_a_voxel_at_least():
    assert GRID.resampled((100, 100, 100)).size == (1, 1, 1)


def test_voxel_of_1_by_2_by_4_mm_is_8_microlitres():
    assert GRID.voxel_ml == pytest.approx(0.008)


def test_tight_box_of_two_voxels():
    mask = torch.zeros(6, 7, 8, dtype=torch.bool)
    mask[1, 5, 3] = mask[4, 2, 3] = True
    assert tight_box(mask) == Box((1, 2, 3), (5, 6, 4))


@pytest.mark.parametrize("dtype", [torch.uint8, torch.int16, torch.float32])
def test_tight_box_of_numbers_holds_all_but_the_zeros(dtype):
    values = torch.zeros(6, 7, 8, dtype=dtype)
    values[1, 5, 3], values[4, 2, 3] = 3, 1
    assert tight_box(values) == Box((1, 2, 3), (5, 6, 4))


def test_tight_box_touches_the_far_corner():
    mask = torch.zeros(6, 7, 8, dtype=torch.bool)
    mask[5, 6, 7] = True
    assert tight_box(mask) == Box((5, 6, 7), (6, 7, 8))


def test_empty_mask_has_no_box():
    assert tight_box(torch.zeros(3, 4, 5, dtype=torch.bool)) is None


def test_spacing_is_the_length_of_each_axis_of_an_oblique_affine():
    # Columns of length 2, 1.5 and 5 (3-4-5), in another order of world axes.
    affine = np.array([[0, 1.5, 0, 7], [-2, 0, 3, 8], [0, 0, 4, 9], [0, 0, 0, 1]])
    assert spacing_of(affine) == (2.0, 1.5, 5.0)


def test_box_as_dict_is_plain_lists():
    assert BOX.as_dict() == {"start": [1, 2, 3], "stop": [4, 8, 12]}
