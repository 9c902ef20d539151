"""bundle.cascade.organs: what else the localizer sees."""

from __future__ import annotations

import pytest
import torch

from bundle.cascade.organs import Organ, see_organs
from bundle.cascade.view import FieldOfView
from bundle.geometry import Grid

GRID = Grid((4, 5, 6), (4.0, 2.0, 5.0))
CHANNELS = {"liver": 1, "spleen": 2}


def probability(label: torch.Tensor) -> torch.Tensor:
    return torch.nn.functional.one_hot(label, 3).permute(3, 0, 1, 2).float()


@pytest.fixture
def organs() -> dict[str, Organ]:
    """A liver of 2 x 1 x 3 voxels of 40 μl from the scan's corner, and no spleen."""
    label = torch.zeros(GRID.size, dtype=torch.long)
    label[:2, :1, :3] = 1
    image = torch.full((1, *GRID.size), -100.0)
    image[:, :2, :1, :3] = torch.tensor([50.0, 60.0, 90.0])
    return see_organs(probability(label), image, GRID, CHANNELS)


def test_an_organ_without_a_voxel_is_not_seen(organs):
    assert list(organs) == ["liver"]


def test_volume_is_in_millilitres(organs):
    assert organs["liver"].volume_ml == pytest.approx(6 * 0.04)


def test_centre_is_in_mm_from_the_corner_of_the_scan(organs):
    assert organs["liver"].centre_mm == pytest.approx((4.0, 1.0, 7.5))


def test_median_is_of_its_voxels_alone(organs):
    assert organs["liver"].median_hu == 60


def test_there_and_back_as_plain_data_it_is_the_organ(organs):
    assert Organ.from_dict(organs["liver"].as_dict()) == organs["liver"]


def test_a_voxel_belongs_to_its_likeliest_class():
    likely = torch.tensor([0.3, 0.25, 0.45]).reshape(3, 1, 1, 1).expand(3, *GRID.size)
    assert list(see_organs(likely, torch.zeros(1, *GRID.size), GRID, CHANNELS)) == ["spleen"]


def seen(**volumes_ml: float) -> dict[str, Organ]:
    return {name: Organ(volume, (0, 0, 0), 0) for name, volume in volumes_ml.items()}


VIEW = FieldOfView(
    [{"organs": ["liver", "spleen"], "min_volume_ml": 60}, {"organs": ["left_kidney"], "min_volume_ml": 6}],
    min_total_ml=30,
)


def test_organs_of_a_group_count_together():
    assert VIEW.missing(seen(liver=40, spleen=30, left_kidney=6)) == ""


def test_what_is_missing_is_named_with_its_volume():
    assert "45 ml of liver, spleen, 60 ml are needed" in VIEW.missing(seen(liver=45, left_kidney=100))
    assert "0 ml of left kidney, 6 ml are needed" in VIEW.missing(seen(liver=1000))


# Bowel is in no group.
@pytest.mark.parametrize(("liver_ml", "far"), [(10, True), (20, False)])
def test_a_scan_with_little_of_all_groups_together_is_far_from_the_pancreas(liver_ml, far):
    assert VIEW.is_far(seen(liver=liver_ml, left_kidney=15, bowel=500)) is far
