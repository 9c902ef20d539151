"""bundle.quality.opinions: each number by hand, on a row of probabilities."""

from __future__ import annotations

import pytest
import torch

from bundle.geometry import Box, Grid
from bundle.quality.opinions import OPINIONS, dice, opinions

SPACING_MM = (1.0, 2.0, 5.0)  # 0.01 ml
INSIDE = Box((1, 1, 1), (7, 2, 2)), Grid((8, 3, 3), SPACING_MM)

# The mask is the last three voxels.
FINE = [0.0, 0.25, 0.4, 0.6, 0.8, 1.0]
COARSE = [0.0, 0.0, 0.6, 0.4, 0.6, 1.0]
AGAIN = [0.5, 0.5, 0.4, 0.6, 0.8, 1.0]


def row(values: list[float]) -> torch.Tensor:
    return torch.tensor(values).reshape(-1, 1, 1)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("coarse_fine_dice", 2 * 2 / (3 + 3)),
        ("coarse_probability", (0.4 + 0.6 + 1.0) / 3),
        ("second_look_dice", 2 * 3 / (3 + 5)),
        ("stability_dice", 2 * 2 / (4 + 2)),
        ("expected_dice", 2 * 2.4 / (3 + 3.05)),
        ("mean_probability", 0.8),
        ("confident_share", 1 / 3),
        ("faint_ratio", 5 / 3),
        ("boundary_entropy", 0.970951),  # -0.4 ld 0.4 - 0.6 ld 0.6, on both sides
        ("pieces", 1),
        ("largest_share", 1),
        ("volume_ml", 0.03),
        ("border_share", 0),
    ],
)
def test_number_is_what_a_hand_gets(name, expected):
    assert opinions(row(FINE), *INSIDE, row(COARSE), row(AGAIN))[name] == pytest.approx(expected, abs=1e-6)


def test_an_empty_mask_has_a_volume_and_nothing_else():
    result = opinions(row([0.0, 0.3, 0.4, 0.1, 0.0, 0.0]), *INSIDE, row(COARSE), row(AGAIN))
    assert result == dict.fromkeys(OPINIONS) | {"volume_ml": 0.0}


def test_without_a_localizer_the_rest_is_said():
    result = opinions(row(FINE), *INSIDE)
    assert {result[name] for name in ("coarse_fine_dice", "coarse_probability", "second_look_dice")} == {None}
    assert result["mean_probability"] == pytest.approx(0.8)


def test_what_the_localizer_sees_elsewhere_in_the_box_counts_against_the_mask():
    alone = opinions(row([0, 0, 0, 0, 1.0, 1.0]), *INSIDE, row([0, 0, 0, 0, 1.0, 1.0]))
    elsewhere = opinions(row([0, 0, 0, 0, 1.0, 1.0]), *INSIDE, row([1.0, 1.0, 0, 0, 1.0, 1.0]))
    assert (alone["coarse_fine_dice"], elsewhere["coarse_fine_dice"]) == (1.0, pytest.approx(2 / 3))


def test_a_mask_in_the_last_slice_of_the_scan_is_at_its_border():
    assert opinions(row(FINE), Box((1, 1, 1), (7, 2, 2)), Grid((7, 3, 3), SPACING_MM))["border_share"] == pytest.approx(
        1 / 3
    )


def test_pieces_below_a_tenth_of_a_millilitre_are_not_counted():
    block = torch.zeros(12, 3, 3)
    block[:4], block[6:9], block[11, 1, 1] = 1, 1, 1
    result = opinions(block, Box((2, 2, 2), (14, 5, 5)), Grid((20, 9, 9), SPACING_MM))
    assert result["pieces"] == 2
    assert result["largest_share"] == pytest.approx(36 / 64)


def test_a_mask_without_any_background_is_sure_of_its_surface():
    grid = Grid((2, 2, 2), SPACING_MM)
    assert opinions(torch.ones(2, 2, 2), grid.box, grid)["boundary_entropy"] == 0


def test_dice_of_two_empty_masks_is_one():
    assert dice(torch.zeros(3, dtype=torch.bool), torch.zeros(3, dtype=torch.bool)) == 1
