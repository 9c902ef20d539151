"""bundle.cascade.region: from the localizer's probabilities to boxes and masks, worked out by hand."""

from __future__ import annotations

import pytest
import torch

from bundle.cascade import (
    BoxRule,
    FixedBoxRule,
    Localization,
    MaskRule,
    Region,
    SeveralRules,
    whole_scan,
)
from bundle.cascade.region import dilate
from bundle.geometry import Box, Grid

SCAN = Grid((120, 120, 120), (1.0, 1.0, 1.0))
COARSE = Grid((30, 30, 30), (4.0, 4.0, 4.0))


def localization(*boxes: Box, scan_grid: Grid = SCAN, grid: Grid = COARSE) -> Localization:
    """Probability 1 inside the boxes, in voxels of the localizer's grid, 0 elsewhere."""
    probability = torch.zeros(1, *grid.size)
    for box in boxes:
        box.crop(probability)[...] = 1
    return Localization(probability, grid, scan_grid)


def cube(start: int, stop: int) -> Box:
    return Box((start,) * 3, (stop,) * 3)


FOUND = localization(cube(10, 20))


# Zhao 2019, sec. 2.2: foreground [10, 20) at a quarter of the resolution.
@pytest.mark.parametrize(
    ("rule", "start", "stop"),
    [
        (BoxRule(), 40, 80),
        (BoxRule(margin_voxels=2), 32, 88),  # 2 coarse voxels per side, then times 4
        (BoxRule(margin_voxels=10, on_scan_grid=True), 30, 90),  # times 4, then 10 voxels per side
        (BoxRule(margin_mm=10), 30, 90),
        (BoxRule(margin_mm=100), 0, 120),
        (BoxRule(min_size_mm=(60, 60, 60)), 30, 90),
        (FixedBoxRule(size_mm=(20, 20, 20)), 50, 70),
        (FixedBoxRule(size_mm=(60, 60, 60)), 30, 90),
        (FixedBoxRule(size_mm=(500, 500, 500)), 0, 120),
        (MaskRule(dilation=0), 40, 80),
        (MaskRule(dilation=3), 28, 92),
    ],
)
def test_box_of_a_rule(rule, start, stop):
    assert [region.box for region in rule(FOUND)] == [cube(start, stop)]


def test_margin_in_mm_follows_the_spacing_of_each_axis():
    # 40 x 40 x 40 mm of the scan's own grid, 8 mm are 8, 4 and 2 voxels.
    scan_grid = Grid((120, 60, 30), (1.0, 2.0, 4.0))
    found = localization(cube(10, 20), scan_grid=scan_grid)
    assert BoxRule(margin_mm=8)(found)[0].box == Box((32, 16, 8), (88, 44, 22))
    assert BoxRule(margin_mm=(0, 8, 0))(found)[0].box == Box((40, 16, 10), (80, 44, 20))


@pytest.mark.parametrize(("lowest", "expected"), [(0, 0), (26, 60)])
def test_fixed_box_moves_into_the_scan_and_keeps_its_size(lowest, expected):
    found = localization(cube(lowest, lowest + 4))
    assert FixedBoxRule(size_mm=(60, 60, 60))(found)[0].box == cube(expected, expected + 60)


def test_stray_component_does_not_widen_the_box():
    found = localization(cube(10, 20), cube(28, 29))
    assert BoxRule()(found)[0].box == cube(40, 116)
    assert BoxRule(min_share=0.1)(found)[0].box == cube(40, 80)


@pytest.mark.parametrize(("min_volume_ml", "regions"), [(64, 1), (64.1, 0)])
def test_foreground_below_the_smallest_volume_is_not_found(min_volume_ml, regions):
    # 1000 voxels of 64 cubic millimetres are 64 ml; 64.1 ml round to 1002 voxels.
    assert len(BoxRule(min_volume_ml=min_volume_ml)(FOUND)) == regions


@pytest.mark.parametrize("rule", [BoxRule(), FixedBoxRule((60, 60, 60)), MaskRule(), BoxRule(on_scan_grid=True)])
def test_nothing_found_gives_no_region(rule):
    assert rule(localization()) == []


@pytest.mark.parametrize(("threshold", "regions"), [(0.4, 1), (0.6, 0)])
def test_threshold_decides_on_the_foreground(threshold, regions):
    found = Localization(torch.full((1, *COARSE.size), 0.5), COARSE, SCAN)
    assert len(BoxRule(threshold=threshold)(found)) == regions


def test_foreground_is_the_largest_of_the_kept_classes():
    probability = torch.zeros(2, *COARSE.size)
    probability[1, 10:20, 10:20, 10:20] = 1
    assert BoxRule()(Localization(probability, COARSE, SCAN))[0].box == cube(40, 80)


# One voxel becomes a cube of 2 r + 1.
@pytest.mark.parametrize(("times", "voxels"), [(0, 1), (1, 27), (3, 343), (5, 1331)])
def test_dilation_by_the_cube(times, voxels):
    mask = torch.zeros(13, 13, 13, dtype=torch.bool)
    mask[6, 6, 6] = True
    assert dilate(mask, times).sum() == voxels


def test_mask_region_on_the_scans_own_grid_is_the_dilated_foreground():
    grid = Grid((20, 18, 16), (1.0, 2.0, 4.0))
    found = localization(Box((9, 8, 7), (10, 9, 8)), scan_grid=grid, grid=grid)
    region = MaskRule(dilation=3)(found)[0]
    assert region.box == Box((6, 5, 4), (13, 12, 11))
    assert region.mask is not None and region.mask.sum() == 343


def test_mask_region_follows_the_coarse_voxels():
    # An L of two coarse voxels along X and one along Y: the mask has 3 of the 4 columns of the box.
    found = localization(Box((10, 10, 10), (12, 11, 11)), Box((10, 11, 10), (11, 12, 11)))
    region = MaskRule(dilation=0)(found)[0]
    assert region.box == Box((40, 40, 40), (48, 48, 44))
    assert region.mask is not None and region.mask.sum() == 3 * 4**3
    assert not region.mask[4:, 4:].any()


def test_mask_region_fits_its_box_at_a_ratio_that_is_no_integer():
    scan_grid = Grid((97, 71, 53), (120 / 97, 120 / 71, 120 / 53))
    region = MaskRule(dilation=1)(localization(Box((0, 12, 27), (5, 20, 30)), scan_grid=scan_grid))[0]
    assert region.mask is not None and region.mask.shape == region.box.size


def test_several_rules_give_their_regions_in_order():
    rules = SeveralRules([BoxRule(margin_voxels=2), BoxRule(margin_voxels=10, on_scan_grid=True)])
    assert [region.box for region in rules(FOUND)] == [cube(32, 88), cube(30, 90)]


def test_rule_that_finds_nothing_leaves_the_others():
    rules = SeveralRules([BoxRule(min_volume_ml=1000), BoxRule()])
    assert [region.box for region in rules(FOUND)] == [cube(40, 80)]


def test_first_threshold_that_finds_anything_decides():
    assert [region.box for region in BoxRule(threshold=(1.1, 0.5, 0))(FOUND)] == [cube(40, 80)]


def test_without_any_finding_there_is_no_region():
    assert BoxRule(threshold=(1.2, 1.1))(FOUND) == []


def test_whole_scan_is_one_region():
    assert whole_scan(SCAN) == [Region(cube(0, 120))]


def test_probabilities_on_the_scans_grid_have_its_size():
    assert FOUND.on_scan().shape == (1, 120, 120, 120)
