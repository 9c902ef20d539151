"""bundle.cascade.windows: where windows start, and how their answers become one; T-numbers as in docs/systems.md."""

from __future__ import annotations

import math
from itertools import product

import pytest
import torch

from bundle.cascade.windows import (
    FittedTileInferer,
    TileInferer,
    WindowInferer,
    hits,
    starts_by_count,
    starts_by_step,
    starts_by_tile,
)
from bundle.errors import InputError

IMAGE = torch.rand(1, 1, 23, 17, 11, generator=torch.Generator().manual_seed(0))
# One inferer of every kind for IMAGE: windows that fit, windows larger than an axis, tiles apart and overlapping.
WINDOWS = [
    WindowInferer((8, 6, 4), step=(3, 4, 4)),
    WindowInferer((8, 6, 4), count=2, batch=3),
    WindowInferer((8, 6, 4), count=0),
    WindowInferer((30, 6, 16), count=1, batch=7),
    WindowInferer((30, 6, 16), step=(5, 4, 2), padding_mode="constant"),
]
TILES = [
    TileInferer((5, 4, 6), halo=3),
    TileInferer((5, 4, 6), halo=(1, 2, 3), stride=(5, 2, 3), batch=4),
    TileInferer((30, 40, 50), halo=2),
]


class Recorder:
    """A network that answers by a function of the windows and keeps what it saw."""

    def __init__(self, answer) -> None:
        self.answer = answer
        self.windows: list[torch.Tensor] = []

    def __call__(self, windows: torch.Tensor):
        self.windows += windows.unbind()
        return self.answer(windows)


def inner(inferer: TileInferer, windows: torch.Tensor) -> torch.Tensor:
    """What an unpadded identity would return: the window without its halo."""
    x, y, z = (slice(h, n - h) for h, n in zip(inferer.halo, windows.shape[-3:]))
    return windows[..., x, y, z]


def heartseg_starts(size: int, window: int, extra: int) -> list[int]:
    """The layout of the code that Zhu 2018 builds on, for comparison: the distance rounded up, the end appended."""
    stride = math.ceil((size - window) / (size // window + extra - 1))
    return [*range(0, size - window + 1, stride), size - window]


# Zhu 2018, sec. 4.1: floor(S / 64) + n windows, n = 6 coarse, 12 fine.
@pytest.mark.parametrize(
    ("size", "extra", "windows"), [(512, 6, 14), (512, 12, 20), (181, 6, 8), (181, 12, 14), (466, 6, 13), (466, 12, 19)]
)
def test_t20_windows_per_axis_by_count(size, extra, windows):
    starts = starts_by_count(size, 64, extra)
    assert len(starts) == windows
    assert starts[0] == 0 and starts[-1] == size - 64


@pytest.mark.parametrize(("slices", "windows"), [(181, 1568), (466, 2548)])
def test_t20_windows_of_a_whole_scan(slices, windows):
    starts = WindowInferer((64, 64, 64), count=6).starts((512, 512, slices))
    assert math.prod(map(len, starts)) == windows


def test_t20_heartseg_rounds_the_distance_up_and_may_miss_the_count():
    assert heartseg_starts(512, 64, 6) == [*range(0, 421, 35), 448]
    assert len(heartseg_starts(512, 64, 6)) == len(starts_by_count(512, 64, 6)) == 14
    assert heartseg_starts(100, 64, 6) == [0, 6, 12, 18, 24, 30, 36, 36]
    assert starts_by_count(100, 64, 6) == [0, 6, 12, 18, 24, 30, 36]


# 5 places at most: 64 + 4 voxels; half a voxel is rounded up: 2.5 -> 3.
@pytest.mark.parametrize(
    ("size", "extra", "starts"),
    [
        (68, 6, [0, 1, 2, 3, 4]),
        (64, 6, [0]),
        (69, 2, [0, 3, 5]),
        (64, 0, [0]),
        (100, 0, [0, 36]),
        (200, 0, [0, 45, 91, 136]),
    ],
)
def test_starts_by_count_on_short_axes_and_without_extra(size, extra, starts):
    assert starts_by_count(size, 64, extra) == starts


@pytest.mark.parametrize(("slices", "ratio"), [(181, 3.57), (466, 2.98)])
def test_t21_windows_of_both_settings_are_in_the_ratio_of_the_papers_times(slices, ratio):
    # Table 5: 382 s for n = 12 on the whole scan, 111 s for n = 6: 3.44, between the two ends of the data set.
    counts = [
        math.prod(map(len, WindowInferer((64, 64, 64), count=n).starts((512, 512, slices)))) for n in (12, 6)
    ]
    assert counts[0] / counts[1] == pytest.approx(ratio, abs=0.005)


# Xue 2019: windows of 16 x 64 x 64 (z, y, x) in a region of 128 x 224 x 224, here (x, y, z).
XUE_COUNTS = {(8, 8, 2): 25137, (16, 16, 4): 3509, (32, 32, 8): 540}


@pytest.mark.parametrize(("step", "windows"), XUE_COUNTS.items())
def test_t30_windows_in_the_region_by_step(step, windows):
    starts = WindowInferer((64, 64, 16), step=step).starts((224, 224, 128))
    assert math.prod(map(len, starts)) == windows


def test_t30_voxels_inside_are_hit_by_64_windows():
    x, y, z = WindowInferer((64, 64, 16), step=(16, 16, 4)).starts((224, 224, 128))
    counts = [hits(x, 64, 224), hits(y, 64, 224), hits(z, 16, 128)]
    assert math.prod(int(count[len(count) // 2]) for count in counts) == 64


@pytest.mark.parametrize(
    ("step", "seconds", "milliseconds"),
    [((8, 8, 2), 706.69, 28.1), ((16, 16, 4), 53.62, 15.3), ((32, 32, 8), 7.89, 14.6)],
)
def test_t31_the_papers_seconds_by_window(step, seconds, milliseconds):
    assert 1000 * seconds / XUE_COUNTS[step] == pytest.approx(milliseconds, abs=0.05)


@pytest.mark.parametrize(("edge_mm", "windows"), [(4.0, 256), (1.6, 7436)])
def test_t31_the_coarse_network_has_time_for_a_grid_of_4_mm_only(edge_mm, windows):
    # 4 s at 15 ms leave 270 windows; a scan of 410 x 410 x 300 mm. A quarter of the voxels would be 1.6 mm.
    size = [round(mm / edge_mm) for mm in (410, 410, 300)]
    starts = WindowInferer((64, 64, 16), step=(16, 16, 4)).starts(size)
    assert math.prod(map(len, starts)) == windows


# Roth 2018: output tiles of 44 x 44 x 28 (x, y, z), halo 44.
ROTH = TileInferer((44, 44, 28), halo=44)


@pytest.mark.parametrize(("size", "tiles"), [((256, 256, 230), 6 * 6 * 9), ((44, 44, 28), 1), ((45, 1, 29), 2 * 1 * 2)])
def test_t32_tiles_per_axis(size, tiles):
    assert math.prod(map(len, ROTH.starts(size))) == tiles


def test_t32_tiles_side_by_side_hit_every_voxel_once():
    size = (256, 250, 230)
    counts = [hits(s, t, n) for s, t, n in zip(ROTH.starts(size), ROTH.output_size, size)]
    assert all((count == 1).all() for count in counts)
    assert math.prod(int(count.sum()) for count in counts) == math.prod(size)


def test_t32_strides_of_half_a_tile_hit_voxels_inside_four_times():
    # The paper asks for 4 predictions per voxel: half a tile along x and y. The first half tile has only one per axis.
    size = (256, 250, 230)
    inferer = TileInferer((44, 44, 28), halo=44, stride=(22, 22, 28))
    x, y, z = (hits(s, t, n) for s, t, n in zip(inferer.starts(size), inferer.output_size, size))
    assert (x[22:] == 2).all() and (y[22:] == 2).all() and (z == 1).all()


def test_t32_a_tile_reads_its_place_grown_by_the_halo():
    inferer = TileInferer((5, 4, 6), halo=(1, 2, 3))
    network = Recorder(lambda windows: inner(inferer, windows))
    inferer(IMAGE, network)
    first = network.windows[0]
    assert first.shape == (1, 7, 8, 12)
    assert torch.equal(first[:, 1:, 2:, 3:], IMAGE[0, :, :6, :6, :9])
    assert not first[:, 0].any() and not first[:, :, :2].any() and not first[..., :3].any()


@pytest.mark.parametrize("hits", [(1, 1, 1), (2, 2, 1)])
def test_fitted_tiles_give_what_tiles_of_any_size_give(hits):
    inferer = FittedTileInferer(3, hits, smallest=4, divisor=4, max_read_voxels=3000)
    network = Recorder(lambda windows: inner(TileInferer((1, 1, 1), halo=3), windows))
    assert torch.allclose(inferer(IMAGE, network), IMAGE, atol=1e-6)
    assert len(network.windows) > 1 and all(window.numel() <= 3000 for window in network.windows)


@pytest.mark.parametrize(
    ("size", "tile"),
    [((155, 155, 45), (156, 156, 52)), ((256, 256, 65), (132, 132, 68)), ((3, 4, 2), (4, 4, 4))],
)
def test_fitted_tiles_read_the_fewest_voxels_that_the_limit_allows(size, tile):
    # One tile of 244 x 244 x 140; four of 220 x 220 x 156 instead of one of 348 x 348 x 156, beyond 9 million.
    assert FittedTileInferer(44).output_size(size) == tile


def test_the_smallest_tile_is_taken_where_even_that_is_beyond_the_limit():
    assert FittedTileInferer(44, max_read_voxels=1).output_size((256, 256, 65)) == (4, 4, 4)


def test_fitted_tiles_must_divide_into_their_hits():
    with pytest.raises(ValueError, match="multiples of hits"):
        FittedTileInferer(44, hits=(3, 1, 1))


@pytest.mark.parametrize("inferer", WINDOWS)
def test_t33_windows_of_a_constant_give_the_constant(inferer):
    result = inferer(IMAGE, lambda windows: torch.full_like(windows, 0.3))
    torch.testing.assert_close(result, torch.full_like(IMAGE, 0.3))


@pytest.mark.parametrize("inferer", WINDOWS)
def test_t33_windows_of_the_identity_give_the_image(inferer):
    torch.testing.assert_close(inferer(IMAGE, lambda windows: windows), IMAGE)


@pytest.mark.parametrize("inferer", TILES)
def test_t33_tiles_of_a_constant_give_the_constant(inferer):
    result = inferer(IMAGE, lambda windows: torch.full_like(inner(inferer, windows), 0.3))
    torch.testing.assert_close(result, torch.full_like(IMAGE, 0.3))


@pytest.mark.parametrize("inferer", TILES)
def test_t33_tiles_of_the_identity_give_the_image(inferer):
    torch.testing.assert_close(inferer(IMAGE, lambda windows: inner(inferer, windows)), IMAGE)


def test_t33_every_voxel_is_hit_to_the_far_border():
    for size, window, n in product(range(5, 30), (3, 5), (0, 1, 3)):
        assert hits(starts_by_count(size, window, n), window, size).min() >= 1
        assert hits(starts_by_step(size, window, max(n, 1)), window, size).min() >= 1
        assert hits(starts_by_tile(size, window), window, size).min() == 1


def test_starts_by_step_add_the_end_where_the_steps_miss_it():
    assert starts_by_step(16, 6, 5) == [0, 5, 10]
    assert starts_by_step(18, 6, 5) == [0, 5, 10, 12]
    assert starts_by_step(6, 6, 5) == [0]


@pytest.mark.parametrize(("mode", "border"), [("replicate", 5.0), ("constant", 0.0)])
def test_short_axes_are_padded_on_both_sides(mode, border):
    network = Recorder(lambda windows: windows)
    WindowInferer((4, 7, 2), count=1, padding_mode=mode)(torch.full((1, 1, 4, 4, 2), 5.0), network)
    (window,) = network.windows
    assert window[0, 0, :, 0].tolist() == [border, 5, 5, 5, 5, border, border]


# Two windows of 4 voxels on 6: voxels 2 and 3 lie in both.
@pytest.mark.parametrize(
    ("merge", "expected"), [("mean", [0.9, 0.9, 0.65, 0.65, 0.4, 0.4]), ("vote", [1, 1, 0.5, 0.5, 0, 0])]
)
def test_overlap_is_averaged_or_voted_on(merge, expected):
    answers = iter([0.9, 0.4])
    inferer = WindowInferer((4, 1, 1), step=(2, 1, 1), merge=merge)
    result = inferer(torch.zeros(1, 1, 6, 1, 1), lambda windows: torch.full_like(windows, next(answers)))
    assert result.flatten().tolist() == pytest.approx(expected)


def test_heads_are_merged_by_mean_even_where_the_main_one_is_voted_on():
    def network(windows):
        return {"pred": torch.full_like(windows, 0.7), "skeleton": torch.cat([windows, 2 * windows], dim=1)}

    result = WindowInferer((8, 6, 4), count=2, merge="vote", batch=2)(IMAGE, network)
    assert torch.equal(result["pred"], torch.ones_like(IMAGE))
    torch.testing.assert_close(result["skeleton"], torch.cat([IMAGE, 2 * IMAGE], dim=1))


@pytest.mark.parametrize("batch", [1, 4, 100])
def test_batches_hold_at_most_so_many_windows(batch):
    sizes = []

    def network(windows):
        sizes.append(len(windows))
        return windows

    WindowInferer((8, 6, 4), count=1, batch=batch)(IMAGE, network)
    assert sum(sizes) == 3 * 3 * 3 and max(sizes) == min(batch, 27)


def test_half_precision_is_added_up_in_float32():
    result = WindowInferer((8, 6, 4), count=6)(IMAGE, lambda windows: torch.ones_like(windows).bfloat16())
    assert result.dtype == torch.float32 and torch.equal(result, torch.ones_like(IMAGE))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({}, "by 'step' or by 'count'"),
        ({"step": (1, 1, 1), "count": 1}, "by 'step' or by 'count'"),
        ({"count": 1, "merge": "max"}, "'mean' or 'vote'"),
        ({"count": 1, "padding_mode": "reflect"}, "'replicate' or 'constant'"),
    ],
)
def test_settings_that_make_no_windows_are_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        WindowInferer((8, 8, 8), **settings)


def test_steps_and_strides_that_leave_gaps_are_refused():
    with pytest.raises(ValueError, match="leaves gaps"):
        starts_by_step(20, 5, 6)
    with pytest.raises(ValueError, match="leaves gaps"):
        TileInferer((5, 4, 6), halo=3, stride=(6, 4, 6))


@pytest.mark.parametrize("step", [(0, 4, 4), (4, 9, 4)])
def test_steps_of_nothing_or_beyond_the_window_name_their_key(step):
    with pytest.raises(InputError, match=r"^step: .*\(8, 8, 8\); received .*Write"):
        WindowInferer((8, 8, 8), step=step)


def test_more_than_one_volume_is_refused():
    with pytest.raises(ValueError, match="one volume at a time"):
        WindowInferer((8, 6, 4), count=1)(torch.cat([IMAGE, IMAGE]), lambda windows: windows)


def test_output_of_another_size_is_refused():
    with pytest.raises(ValueError, match=r"must return \(5, 4, 6\) voxels, got \(11, 10, 12\)"):
        TILES[0](IMAGE, lambda windows: windows)
