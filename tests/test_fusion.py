"""bundle.cascade.fusion: pasting regions back and voting."""

from __future__ import annotations

import pytest
import torch

from bundle.cascade import Localization, Region, RegionPrediction, Replace, ReplaceNear, Vote
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


LONG = Grid((60, 4, 4), (1.0, 1.0, 1.0))


def two_parts(gap_mm: int) -> RegionPrediction:
    """One part over voxels 0 to 9 along X, another that begins ``gap_mm`` after it."""
    probability = torch.zeros(1, *LONG.size)
    probability[:, :10] = 0.9
    probability[:, 10 + gap_mm : 15 + gap_mm] = 0.8
    return RegionPrediction(Region(LONG.box), probability)


def seen(stop: int) -> Localization:
    """The localizer calls voxels up to ``stop`` along X the organ."""
    probability = torch.zeros(1, *LONG.size)
    probability[:, :stop] = 0.7
    return Localization(probability, LONG, LONG)


# The first voxel of the second part is gap + 1 mm from voxel 9, the last that the localizer calls the organ.
@pytest.mark.parametrize(("gap_mm", "stays"), [(10, True), (19, True), (20, False), (30, False)])
def test_a_part_farther_than_the_distance_from_the_localizers_organ_goes(gap_mm, stays):
    _, result = ReplaceNear(distance_mm=20)([two_parts(gap_mm)], seen(10))
    assert (result[0, 10 + gap_mm, 0, 0] == 0.8) == stays
    assert torch.equal(result[:, :10], two_parts(gap_mm).probability[:, :10])


def test_a_part_that_begins_near_stays_to_its_end():
    whole = RegionPrediction(Region(LONG.box), torch.full((1, *LONG.size), 0.9))
    _, result = ReplaceNear(distance_mm=20)([whole], seen(10))
    assert torch.equal(result, whole.probability)


@pytest.mark.parametrize("localization", [None, seen(0)])
def test_where_the_localizer_says_nothing_all_parts_stay(localization):
    _, result = ReplaceNear(distance_mm=20)([two_parts(30)], localization)
    assert torch.equal(result, two_parts(30).probability)


def test_what_the_localizer_saw_on_a_coarser_grid_counts_in_mm():
    probability = torch.zeros(1, 15, 1, 1)
    probability[:, :2] = 0.7  # up to 8 mm
    coarser = Localization(probability, Grid((15, 1, 1), (4.0, 4.0, 4.0)), LONG)
    kept = [bool(ReplaceNear(distance_mm=20)([two_parts(gap)], coarser)[1][0, 10 + gap].any()) for gap in (10, 30)]
    assert kept == [True, False]


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
