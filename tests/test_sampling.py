"""Patches read from a part of a volume are what the whole volume gives."""

import numpy as np
import pytest
import torch
from torch.nn.functional import grid_sample

from bundle.training.sampling import random_voxel, sample_at


def points_between(low: float, high: float) -> torch.Tensor:
    """(4, 5, 6, 3) random coordinates."""
    return torch.rand(4, 5, 6, 3, generator=torch.Generator().manual_seed(0)) * (high - low) + low


@pytest.mark.parametrize("mode", ["bilinear", "nearest"])
@pytest.mark.parametrize(("outside", "padding"), [(None, "border"), (0.0, "zeros")])
@pytest.mark.parametrize("low_high", [(6.0, 12.0), (-4.0, 5.0), (25.0, 40.0), (-9.0, -3.0)])
def test_a_part_of_the_volume_gives_the_values_of_the_whole(mode, outside, padding, low_high):
    volume = torch.randint(-1000, 1000, (2, 30, 30, 30), generator=torch.Generator().manual_seed(1)).short()
    points = points_between(*low_high)
    grid = ((2 * points + 1) / 30 - 1).flip(-1)[None]
    whole = grid_sample(volume.float()[None], grid, mode=mode, padding_mode=padding, align_corners=False)[0]
    assert torch.allclose(sample_at(volume, points, mode, outside), whole, atol=0.02)


def test_beyond_the_volume_lies_the_value_asked_for():
    assert (sample_at(torch.zeros(1, 8, 8, 8), points_between(20, 30), "nearest", outside=255) == 255).all()


def test_a_voxel_of_the_mask_is_drawn_each_as_likely_as_the_others():
    mask = np.zeros((5, 6, 7), dtype=bool)
    mask[1, 2, 3] = mask[4, 0, 6] = True
    random = np.random.RandomState(0)
    drawn = [tuple(random_voxel(mask, random)) for _ in range(200)]
    assert set(drawn) == {(1, 2, 3), (4, 0, 6)} and 70 < drawn.count((1, 2, 3)) < 130
