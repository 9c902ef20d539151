"""Regions that grow where the organ reaches their wall."""

from __future__ import annotations

import torch

from bundle.cascade import Growth, Region
from bundle.geometry import Box, Grid

GRID = Grid((40, 40, 40), (1.0, 2.0, 5.0))
BOX = Box((10, 10, 10), (20, 20, 20))


def probability(box: Box, organ: Box) -> torch.Tensor:
    """Probability (1, X, Y, Z) of ``box``: 1 in ``organ``, given in voxels of the scan."""
    scan = torch.zeros(1, *GRID.size)
    organ.crop(scan)[...] = 1
    return box.crop(scan)


def test_the_wall_that_the_organ_touches_moves_outwards_by_the_step():
    organ = Box((5, 12, 12), (15, 18, 18))
    assert Growth(step_mm=8)(Region(BOX), probability(BOX, organ), GRID) == Region(Box((2, 10, 10), (20, 20, 20)))


def test_steps_are_counted_in_mm_along_each_axis():
    organ = Box((12, 12, 12), (18, 25, 25))
    assert Growth(step_mm=10)(Region(BOX), probability(BOX, organ), GRID) == Region(Box((10, 10, 10), (20, 25, 22)))


def test_a_region_that_holds_the_organ_stays():
    assert Growth()(Region(BOX), probability(BOX, Box((12, 12, 12), (18, 18, 18))), GRID) is None


def test_the_border_of_the_scan_is_no_wall():
    box = Box((0, 10, 10), (20, 20, 20))
    assert Growth()(Region(box), probability(box, Box((0, 12, 12), (8, 18, 18))), GRID) is None


def test_a_speck_at_the_wall_is_no_reason_to_grow():
    values = probability(BOX, Box((12, 12, 12), (18, 18, 18)))
    values[0, 0, 0, 0] = 1
    assert Growth()(Region(BOX), values, GRID) is None


def test_a_region_without_organ_stays():
    assert Growth()(Region(BOX), torch.zeros(1, 10, 10, 10), GRID) is None


def test_a_region_with_a_mask_keeps_its_shape():
    region = Region(BOX, torch.ones(10, 10, 10, dtype=torch.bool))
    assert Growth()(region, torch.ones(1, 10, 10, 10), GRID) is None


def test_the_whole_scan_cannot_grow():
    assert Growth()(Region(GRID.box), torch.ones(1, *GRID.size), GRID) is None
