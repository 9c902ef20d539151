"""bundle.clicks.simulate: where the simulated user clicks, and that the Dice rises with the clicks."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from bundle.clicks import Clicks, GeodesicRefinement
from bundle.clicks.ball import paint_balls
from bundle.clicks.plot import plot_curves
from bundle.clicks.simulate import click_through, next_click
from bundle.clicks.tables import dice_table, difference_table
from bundle.quality.opinions import dice

SPACING_MM = (1.0, 1.0, 2.0)


def row(text: str) -> np.ndarray:
    """Voxels along x, the same on 3 x 3 of them."""
    return np.repeat(np.array([c == "#" for c in text]), 9).reshape(-1, 3, 3)


@pytest.mark.parametrize(
    ("truth", "mask", "voxel", "foreground"),
    [
        (".#####...", ".........", (3, 1, 1), True),  # the middle of five
        ("##..#####", "##.......", (6, 1, 1), True),  # the border of the scan is no border of the error
        ("##.......", "##..###..", (5, 1, 1), False),
        ("#.###....", ".......##", (3, 1, 1), True),  # three missing are more than two too much
    ],
)
def test_the_click_goes_to_the_middle_of_the_largest_error(truth, mask, voxel, foreground):
    found = next_click(row(mask), row(truth), (1, 10, 10))
    assert found is not None
    assert (found[0][0], found[1]) == (voxel[0], foreground)


def test_who_sees_no_error_does_not_click():
    assert next_click(row("##.."), row("##.."), (1, 1, 1)) is None


def phantom(seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A curved gland among tissue nearly as bright; a network that misses an end and takes a neighbour for gland."""
    rng = np.random.default_rng(seed)
    x, y, z = np.meshgrid(*(np.arange(n) * s for n, s in zip((90, 60, 24), SPACING_MM)), indexing="ij")
    middle = 28 + 8 * np.sin(x / 18)
    truth = ((y - middle) ** 2 + (z - 24) ** 2 < 9**2) & (x > 10) & (x < 80)
    neighbour = (x - 60) ** 2 + (y - 50) ** 2 + (z - 24) ** 2 < 9**2
    image_hu = np.select([truth, neighbour], [110, 150], -60) + rng.normal(0, 15, truth.shape)
    belief = np.select([truth & (x < 55), truth, neighbour], [3.0, -1.5, 0.7], -5)
    belief = ndimage.gaussian_filter(belief + rng.normal(0, 2, truth.shape), 1.5)
    return truth, image_hu, 1 / (1 + np.exp(-belief))


@pytest.mark.parametrize("seed", [1, 2])
def test_the_dice_rises_with_clicks_and_more_than_by_painting_balls(seed):
    truth, image_hu, probability = phantom(seed)
    before = probability >= 0.5

    def ours(clicks: Clicks) -> np.ndarray:
        return GeodesicRefinement()(probability, before, image_hu, SPACING_MM, clicks)

    def balls(clicks: Clicks) -> np.ndarray:
        return paint_balls(before, SPACING_MM, clicks, 5)

    curve = [dice(mask, truth) for _, mask in click_through(ours, truth, SPACING_MM, 5)]
    painted = [dice(mask, truth) for _, mask in click_through(balls, truth, SPACING_MM, 5)]
    assert curve[0] == painted[0] < 0.75
    assert curve[5] > painted[5] + 0.05 and curve[5] > curve[0] + 0.1


def test_it_ends_when_nothing_is_left_to_correct():
    truth = row(".##..")

    def right_after_one(clicks: Clicks) -> np.ndarray:
        return truth if len(clicks) else row(".....")

    steps = list(click_through(right_after_one, truth, (1, 1, 1), 5))
    assert [len(clicks) for clicks, _ in steps] == [0, 1]


ROWS = [
    {"case": "a", "method": "geodesic", "dice_0": 0.5, "dice_1": 0.7},
    {"case": "a", "method": "ball_5mm", "dice_0": 0.5, "dice_1": 0.6},
    {"case": "b", "method": "geodesic", "dice_0": 0.7, "dice_1": 0.8},
    {"case": "b", "method": "ball_5mm", "dice_0": 0.7, "dice_1": 0.65},
]


REAL_ROW = {"case": "amos_0013_slab", "method": "geodesic", "dice_0": 0.6, "dice_1": 0.65}


def test_the_table_has_the_mean_of_each_method_and_real_scans_by_themselves():
    assert dice_table([REAL_ROW, *ROWS]).splitlines() == [
        "|  | scans | 0 | 1 |",
        "| --- | --- | --- | --- |",
        "| rendered: clicks | 2 | 0.600 | 0.750 |",
        "| rendered: ball 5mm | 2 | 0.600 | 0.625 |",
        "| amos_0013_slab: clicks | 1 | 0.600 | 0.650 |",
    ]


def test_differences_are_paired_by_rendered_scan():
    assert difference_table([REAL_ROW, *ROWS]).splitlines()[2:] == [
        "| more than without clicks | +0.150 [+0.100, +0.200], 2 of 2 |",
        "| more than ball 5mm | +0.125 [+0.100, +0.150], 2 of 2 |",
    ]


def test_one_rendered_scan_has_no_differences():
    assert difference_table([REAL_ROW, *ROWS[:2]]) == ""


def test_the_picture_is_written(tmp_path):
    plot_curves(ROWS, tmp_path / "clicks.png")
    assert (tmp_path / "clicks.png").read_bytes().startswith(b"\x89PNG")
