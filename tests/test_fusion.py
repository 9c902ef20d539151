"""bundle.cascade.fusion: pasting regions back and voting."""

from __future__ import annotations

import pytest
import torch

from bundle.cascade import Localization, Region, RegionPrediction, Replace, Vote
from bundle.cascade.fusion import on_scan_grid
from bundle.geometry import Box, Grid

GRID = Grid((10, 12, 14), (1.0, 2.0, 4.0))
LEFT = Box((1, 2, 3), (5, 8, 9))
RIGHT = Box((3, 4, 5), (9, 11, 12))
BOTH = Box((1, 2, 3), (9, 11, 12))


def constant(box: Box, value: float) -> RegionPrediction:
    return RegionPrediction(Region(box), torch.full((1, *box.size), value))


def coarse(value: float) -> Localization:
    return Localization(torch.full((1, *GRID.size), value), GRID, GRID)


def pasted(box: Box, probability: torch.Tensor) -> torch.Tensor:
    """(X, Y, Z) on the whole grid."""
    result = torch.full(GRID.size, -1.0)
    box.crop(result)[...] = probability[0]
    return result


@pytest.mark.parametrize("box", [LEFT, GRID.box, Box((0, 0, 0), (1, 1, 1)), Box((9, 11, 13), (10, 12, 14))])
def test_crop_and_paste_is_the_identity_on_the_box_and_leaves_the_rest(box):
    scan = torch.rand(1, *GRID.size, generator=torch.Generator().manual_seed(0))
    result = pasted(*Replace()([RegionPrediction(Region(box), box.crop(scan))], None))
    assert torch.equal(box.crop(result), box.crop(scan)[0])
    assert (result == -1).sum() == result.numel() - box.crop(result).numel()


def test_common_box_holds_all_regions():
    assert Replace()([constant(LEFT, 0.3), constant(RIGHT, 0.6)], None)[0] == BOTH


# Voxel (8, 10, 4) lies in the common box, in neither region.
@pytest.mark.parametrize(
    ("voxel", "expected"), [((1, 2, 3), 0.3), ((4, 5, 6), 0.6), ((8, 10, 11), 0.6), ((8, 10, 4), 0.0)]
)
def test_replace_takes_the_largest_and_background_between(voxel, expected):
    result = pasted(*Replace()([constant(LEFT, 0.3), constant(RIGHT, 0.6)], None))
    assert result[voxel] == pytest.approx(expected)


# Zhao 2019, sec. 2.2: two of three; a voter is 0 outside its own box.
@pytest.mark.parametrize(
    ("left", "right", "localizer", "voxel", "expected"),
    [
        (1, 1, 0, (4, 5, 6), 1),  # in both boxes
        (1, 0, 1, (4, 5, 6), 1),
        (0, 0, 1, (4, 5, 6), 0),
        (1, 0, 0, (4, 5, 6), 0),
        (1, 1, 1, (1, 2, 3), 1),  # in the left box alone: the fine vote and the coarse one
        (1, 1, 0, (1, 2, 3), 0),
        (0, 1, 1, (1, 2, 3), 0),
        (1, 1, 1, (8, 10, 4), 0),  # in neither box
    ],
)
def test_two_of_three_votes(left, right, localizer, voxel, expected):
    result = pasted(*Vote()([constant(LEFT, left), constant(RIGHT, right)], coarse(localizer)))
    assert result[voxel] == expected


def test_voter_needs_the_threshold():
    predictions = [constant(LEFT, 0.5), constant(LEFT, 0.49)]
    assert Vote(need=1, with_localizer=False)(predictions, None)[1].all()
    assert not Vote(need=2, with_localizer=False)(predictions, None)[1].any()


def test_localizer_is_no_voter_unless_asked():
    assert not Vote(with_localizer=False)([constant(LEFT, 1)], coarse(1))[1].any()


def test_prediction_is_resampled_to_the_regions_box():
    # From 2 voxels of 0 and 4 along X to 4: see test_resample.
    probability = torch.tensor([0.0, 0.4]).reshape(1, 2, 1, 1).expand(1, 2, 6, 6)
    prediction = on_scan_grid(probability, Region(LEFT))
    assert prediction.probability.shape == (1, 4, 6, 6)
    assert prediction.probability[0, :, 2, 2].tolist() == pytest.approx([0, 0.1, 0.3, 0.4])


def test_prediction_is_background_outside_the_mask():
    mask = torch.zeros(LEFT.size, dtype=torch.bool)
    mask[1:3] = True
    probability = on_scan_grid(torch.ones(1, *LEFT.size), Region(LEFT, mask)).probability
    assert torch.equal(probability[0] > 0, mask)
