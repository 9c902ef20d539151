"""bundle.clicks: what a user's clicks do to a mask, and where clicks are refused."""

from __future__ import annotations

import pickle
import time

import numpy as np
import pytest

from bundle.clicks import Clicks, GeodesicRefinement, mm_to_voxels, parse_click, read_clicks, voxels_to_mm
from bundle.clicks.ball import paint_balls
from bundle.errors import InputError

# Unequal spacing, so that swapped axes fail.
SPACING_MM = (1.0, 2.0, 3.0)
SIZE = (80, 40, 30)
ORGAN_HU, FAT_HU = 100, -90


def blob(centre_mm: tuple[float, float, float], radius_mm: float) -> np.ndarray:
    x, y, z = (np.arange(n) * s - c for n, s, c in zip(SIZE, SPACING_MM, centre_mm))
    return (x[:, None, None] ** 2 + y[:, None] ** 2 + z**2) <= radius_mm**2


# The organ is a ball in fat. The network saw all of it but for what lies beyond x = 44, of which it was unsure.
ORGAN = blob((40, 40, 45), 14)
SEEN = ORGAN & (np.arange(SIZE[0]) <= 44)[:, None, None]
IMAGE_HU = np.where(ORGAN, ORGAN_HU, FAT_HU).astype(np.int16)
PROBABILITY = np.where(SEEN, 0.9, np.where(ORGAN, 0.2, 0.01)).astype(np.float32)
MISSED = (49, 20, 15)


def refine(clicks: Clicks, probability=PROBABILITY, mask=SEEN, image_hu=IMAGE_HU) -> np.ndarray:
    return GeodesicRefinement()(probability, mask, image_hu, SPACING_MM, clicks)


def distance_mm(*voxels: tuple[int, int, int]) -> np.ndarray:
    """Straight distance of each voxel from the nearest of these."""
    grid = np.stack(np.meshgrid(*map(np.arange, SIZE), indexing="ij"), axis=-1)
    return np.min([np.linalg.norm((grid - voxel) * SPACING_MM, axis=-1) for voxel in voxels], axis=0)


def test_without_clicks_the_mask_is_the_same():
    np.testing.assert_array_equal(refine(Clicks()), SEEN)


def test_a_foreground_click_brings_the_missed_part_and_not_the_fat():
    mask = refine(Clicks(foreground=(MISSED,)))
    assert mask[MISSED]
    assert (mask & ORGAN).sum() > SEEN.sum() + 0.8 * (ORGAN & ~SEEN).sum()
    assert not (mask & ~ORGAN).any()


def test_a_background_click_takes_away_what_is_too_much():
    image_hu = np.where(SEEN, ORGAN_HU, FAT_HU)  # the organ is what is seen, and the network thinks it is all of ORGAN
    probability = np.where(SEEN, 0.9, np.where(ORGAN, 0.8, 0.01))
    mask = refine(Clicks(background=(MISSED,)), probability, ORGAN, image_hu)
    assert not mask[MISSED]
    assert (mask & ~SEEN).sum() < 0.2 * (ORGAN & ~SEEN).sum()
    assert (mask & SEEN).sum() > 0.9 * SEEN.sum()


@pytest.mark.parametrize("seed", range(5))
def test_every_click_is_obeyed(seed):
    rng = np.random.default_rng(seed)
    voxels = [tuple(int(i) for i in rng.integers(0, SIZE)) for _ in range(12)]
    clicks = Clicks(foreground=tuple(voxels[:6]), background=tuple(voxels[6:]))
    probability = rng.random(SIZE).astype(np.float32)
    mask = refine(clicks, probability, probability >= 0.5, rng.integers(-1000, 1000, SIZE))
    assert all(mask[voxel] for voxel in clicks.foreground)
    assert not any(mask[voxel] for voxel in clicks.background)


def test_neighbouring_clicks_of_both_kinds_are_obeyed():
    mask = refine(Clicks(foreground=(MISSED,), background=((50, 20, 15), (49, 21, 15), (49, 20, 16))))
    assert mask[MISSED] and not mask[50, 20, 15] and not mask[49, 21, 15] and not mask[49, 20, 16]


def test_a_click_that_is_obeyed_already_adds_and_removes_next_to_nothing():
    changed = refine(Clicks(foreground=((40, 20, 15),))) ^ SEEN
    assert changed.sum() == 0


def test_nothing_changes_away_from_the_clicks():
    rng = np.random.default_rng(0)
    probability = rng.random(SIZE).astype(np.float32)
    before = probability >= 0.5
    clicks = Clicks(foreground=((10, 10, 5),), background=((12, 8, 6),))
    changed = refine(clicks, probability, before, np.full(SIZE, ORGAN_HU)) ^ before
    assert changed.any()
    assert distance_mm((10, 10, 5), (12, 8, 6))[changed].max() <= GeodesicRefinement().most_reach_mm


def test_a_click_where_the_network_sees_nothing_gives_a_piece_of_the_tissue_there():
    nothing = np.zeros(SIZE, np.float32)
    mask = refine(Clicks(foreground=((40, 20, 15),)), nothing, nothing > 0)
    assert mask.sum() > 0.5 * ORGAN.sum()
    assert not (mask & ~ORGAN).any()


def test_such_a_piece_stays_small_in_tissue_without_borders():
    nothing = np.zeros(SIZE, np.float32)
    mask = refine(Clicks(foreground=((40, 20, 15),)), nothing, nothing > 0, np.full(SIZE, ORGAN_HU))
    assert distance_mm((40, 20, 15))[mask].max() < 20


def test_pieces_without_a_click_do_not_appear():
    probability = PROBABILITY.copy()
    probability[58, 20, 15] = 0.45  # a speck in the fat, near the click
    assert not refine(Clicks(foreground=(MISSED,)), probability)[58, 20, 15]


def test_a_part_that_was_dropped_comes_back_where_it_is_clicked():
    # The network gives 0.9 to all of the organ, and the part beyond x = 46 was dropped as a component of its own.
    probability = np.where(ORGAN, 0.9, 0.01)
    probability[45:47] = 0.01
    dropped = ORGAN & (np.arange(SIZE[0]) > 46)[:, None, None]
    mask = refine(Clicks(foreground=(MISSED,)), probability)
    assert (mask & dropped).sum() > 0.9 * dropped.sum()


def test_the_order_of_clicks_does_not_matter():
    one, other = (49, 20, 15), (30, 20, 15)
    np.testing.assert_array_equal(refine(Clicks((one, other))), refine(Clicks((other, one))))


def test_a_click_in_a_corner_of_the_scan_is_obeyed():
    assert refine(Clicks(foreground=((0, 0, 0),)))[0, 0, 0]
    assert refine(Clicks(foreground=((79, 39, 29),)))[79, 39, 29]


def test_the_input_is_left_as_it_was():
    mask, probability = SEEN.copy(), PROBABILITY.copy()
    refine(Clicks(foreground=(MISSED,)), probability, mask)
    np.testing.assert_array_equal(mask, SEEN)
    np.testing.assert_array_equal(probability, PROBABILITY)


def test_a_refinement_travels_to_another_process():
    assert pickle.loads(pickle.dumps(GeodesicRefinement(gain=3))) == GeodesicRefinement(gain=3)


def test_a_click_in_a_large_scan_takes_less_than_a_second_of_one_core():
    size = (512, 512, 100)
    probability, image_hu = np.zeros(size, np.float32), np.full(size, ORGAN_HU, np.int16)
    mask = np.zeros(size, bool)
    started = time.process_time()
    GeodesicRefinement()(probability, mask, image_hu, (0.75, 0.75, 2.5), Clicks(foreground=((256, 256, 50),)))
    assert time.process_time() - started < 1


def test_lists_become_voxels_each_once():
    given = {"foreground": [[1, 2, 3], [1.2, 2.0, 2.6], [4, 5, 6]], "background": None}
    assert read_clicks(given, (5, 6, 7)) == Clicks(foreground=((1, 2, 3), (4, 5, 6)))
    assert len(read_clicks({}, (5, 6, 7))) == 0


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (
            {"foreground": [[5, 0, 0]]},
            r"a\.nii: foreground click \(5, 0, 0\): a click lies in the scan, of 5 x 6 x 7 voxels counted from 0; "
            r"received \(5, 0, 0\)\. Click inside the scan\.",
        ),
        ({"background": [[0, -1, 0]]}, r"background click \(0, -1, 0\): a click lies in the scan"),
        ({"foreground": [[1, 2]]}, r"foreground click: a click is three numbers, .* \(x, y, z\); received \[1, 2\]"),
        ({"foreground": [[1, 2, float("nan")]]}, "a click is three numbers"),
        ({"foreground": [[1, 2, 1e300]]}, "a click lies in the scan"),
        ({"foreground": ["abc"]}, "a click is three numbers"),
        ({"foreground": [1, 2, 3]}, "a click is three numbers"),
        ({"foreground": "1,2,3"}, "clicks are a list"),
        (
            {"foreground": [[1, 2, 3]], "background": [[1, 2, 3]]},
            r"a\.nii: click \(1, 2, 3\): a voxel is clicked as foreground or as background; received both\. Take one",
        ),
    ],
)
def test_clicks_that_make_no_sense_are_refused(given, message):
    with pytest.raises(InputError, match=message):
        read_clicks(given, (5, 6, 7), "a.nii")


def test_the_command_line_gives_clicks_as_text():
    assert parse_click("120,80,33") == [120, 80, 33]
    with pytest.raises(InputError, match=r"click: a click is three numbers, the voxel x,y,z; received '1,2'"):
        parse_click("1,2")


def test_voxels_go_to_mm_and_back():
    affine = np.array([[-1, 0, 0, 5], [0, 0, 2, 6], [0, 3, 0, 7], [0, 0, 0, 1]], dtype=float)
    assert voxels_to_mm([(1, 2, 3)], affine) == [[4, 12, 13]]
    assert mm_to_voxels([(4, 12, 13)], affine) == [[1, 2, 3]]


def test_a_painted_ball_has_its_radius_in_mm():
    mask = paint_balls(np.zeros(SIZE, bool), SPACING_MM, Clicks(foreground=((40, 20, 15),)), 4)
    np.testing.assert_array_equal(mask, distance_mm((40, 20, 15)) <= 4)


def test_where_balls_overlap_the_nearest_click_counts():
    clicks = Clicks(foreground=((40, 20, 15),), background=((44, 20, 15),))
    row = paint_balls(np.zeros(SIZE, bool), SPACING_MM, clicks, 3)[36:49, 20, 15]
    assert "".join(".#"[int(v)] for v in row) == ".######......"
