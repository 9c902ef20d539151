"""bundle.cascade.stage and inferers: what a network gets to see, and what is made of its answer."""

from __future__ import annotations

import math
from functools import partial

import pytest
import torch
from monai.inferers import SimpleInferer, SlidingWindowInferer
from torch import nn

from bundle.cascade import MixedPrecisionInferer, Stage, WholeVolumeInferer
from bundle.errors import InputError
from bundle.geometry import Box, Grid

GRID = Grid((20, 16, 12), (1.0, 2.0, 4.0))
BOX = Box((2, 3, 4), (12, 13, 9))


class Logits(nn.Module):
    """Logits 0 for the background and ``scale`` times the input for classes 1 and 2, negated for the latter."""

    def __init__(self, scale: float = 1.0, heads: bool = False) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.tensor(scale))
        self.heads = heads
        self.seen: list[torch.Tensor] = []

    def forward(self, x):
        self.seen.append(x)
        logits = torch.cat([0 * x, self.scale * x, -self.scale * x], dim=1)
        return {"pred": logits, "skeleton": 7 * x} if self.heads else logits


def as_it_is(image_hu: torch.Tensor) -> torch.Tensor:
    return image_hu.float()


plain = partial(Stage, SimpleInferer(), intensity=as_it_is, amp=False)
SCAN = torch.rand(1, *GRID.size, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("spacing_mm", [(0, 2, 2), (2, 2), (2, 2, -1)])
def test_spacings_that_make_no_grid_are_refused(spacing_mm):
    with pytest.raises(InputError, match="^spacing_mm: .* three spacings above 0"):
        Stage(WholeVolumeInferer(), spacing_mm=spacing_mm)


def test_network_sees_the_box_alone():
    network = Logits()
    plain()(SCAN, GRID, BOX, network)
    assert torch.equal(network.seen[0], BOX.crop(SCAN)[None])


def test_network_sees_one_channel_per_window():
    network = nn.Conv3d(2, 2, 1)
    assert Stage(SimpleInferer())(SCAN, GRID, BOX, network).probability.shape == (1, 10, 10, 5)


# The box has 10 x 20 x 20 mm.
@pytest.mark.parametrize(
    ("settings", "size"),
    [
        ({}, (10, 10, 5)),
        ({"spacing_mm": (2, 2, 2)}, (5, 10, 10)),
        ({"downsample": 2}, (5, 5, 2)),
        ({"spacing_mm": (100, 100, 100)}, (1, 1, 1)),
    ],
)
def test_grid_of_the_answer(settings, size):
    output = plain(**settings)(SCAN, GRID, BOX, Logits())
    assert output.probability.shape == (1, *size)
    assert output.grid.size == size


# Logits (0, ln 2, -ln 2): softmax 1 : 2 : 0.5 of 3.5, sigmoid 2/3 and 1/3.
@pytest.mark.parametrize(
    ("activation", "expected"),
    [("softmax", (2 / 3.5, 0.5 / 3.5)), ("sigmoid", (2 / 3, 1 / 3)), ("none", (math.log(2), -math.log(2)))],
)
def test_activation_and_kept_classes(activation, expected):
    stage = plain(channels=(1, 2), activation=activation)
    probability = stage(torch.ones(1, *GRID.size), GRID, BOX, Logits(math.log(2))).probability
    assert probability[:, 0, 0, 0].tolist() == pytest.approx(expected)


def test_classes_are_kept_in_the_order_asked_for():
    one = plain(channels=(1, 2))(SCAN, GRID, BOX, Logits()).probability
    two = plain(channels=(2, 1))(SCAN, GRID, BOX, Logits()).probability
    assert torch.equal(one.flip(0), two)


@pytest.mark.parametrize("inferer", [SimpleInferer(), SlidingWindowInferer((8, 8, 4), overlap=0.5)])
def test_other_heads_come_along(inferer):
    stage = Stage(inferer, intensity=as_it_is, amp=False)
    output = stage(SCAN, GRID, BOX, Logits(heads=True))
    assert list(output.extra) == ["skeleton"]
    assert torch.allclose(output.extra["skeleton"], 7 * BOX.crop(SCAN))


def test_windows_of_a_constant_give_the_constant():
    windows = SlidingWindowInferer((8, 6, 5), overlap=0.5, mode="gaussian", padding_mode="replicate")
    output = Stage(windows, intensity=as_it_is, amp=False)(torch.ones(1, *GRID.size), GRID, GRID.box, Logits(0.0))
    assert torch.allclose(output.probability, torch.full((1, *GRID.size), 1 / 3))


def test_scan_smaller_than_the_window_keeps_its_size():
    windows = SlidingWindowInferer((32, 32, 32), overlap=0.5, mode="gaussian", padding_mode="replicate")
    output = Stage(windows, intensity=as_it_is, amp=False)(SCAN, GRID, BOX, Logits())
    assert torch.allclose(output.probability, plain()(SCAN, GRID, BOX, Logits()).probability, atol=1e-6)


class OverflowsInMixedPrecision(Logits):
    def forward(self, x):
        logits = super().forward(x)
        return logits / 0 if torch.is_autocast_enabled("cpu") else logits


def test_window_that_overflows_is_computed_again_in_float32():
    stage = Stage(SimpleInferer(), intensity=as_it_is, amp=True)
    probability = stage(SCAN, GRID, BOX, OverflowsInMixedPrecision()).probability
    assert torch.equal(probability, plain()(SCAN, GRID, BOX, Logits()).probability)


def test_answer_that_is_not_finite_is_refused():
    with pytest.raises(InputError, match="outputs must be finite"):
        plain()(SCAN, GRID, BOX, Logits(float("nan")))


def test_unknown_activation_is_refused():
    with pytest.raises(ValueError, match="'none', 'sigmoid', 'softmax'"):
        Stage(SimpleInferer(), activation="relu")


def test_mixed_precision_gives_float32_close_to_float32():
    network = nn.Conv3d(1, 2, 3, padding=1)
    windows = torch.rand(1, 1, 8, 8, 8)
    mixed = MixedPrecisionInferer(SimpleInferer())(windows, network)
    assert mixed.dtype == torch.float32
    assert not torch.equal(mixed, network(windows))
    assert torch.allclose(mixed, network(windows), atol=0.02)


def test_mixed_precision_switched_off_changes_nothing():
    network = nn.Conv3d(1, 2, 3, padding=1)
    windows = torch.rand(1, 1, 8, 8, 8)
    assert torch.equal(MixedPrecisionInferer(SimpleInferer(), amp=False)(windows, network), network(windows))


def test_whole_volume_is_padded_for_the_network_and_cut_again():
    network = Logits()
    image = torch.rand(1, 1, 9, 16, 1)
    answer = WholeVolumeInferer(divisor=8)(image, network)
    assert network.seen[0].shape == (1, 1, 16, 16, 16)
    assert answer.shape == (1, 3, 9, 16, 1)
    assert torch.equal(answer[:, 1:2], image)


def test_network_sees_the_mean_of_the_voxels_that_make_one():
    network = Logits()
    plain(downsample=2, resampling="mean")(SCAN, GRID, GRID.box, network)
    expected = torch.nn.functional.avg_pool3d(SCAN, 2)
    torch.testing.assert_close(network.seen[0][0], expected)


def test_organs_asked_for_are_told_about():
    output = plain(organs={"liver": 1, "spleen": 2})(SCAN, GRID, BOX, Logits())
    assert output.probability.shape[0] == 1  # the kept class alone
    assert list(output.organs) == ["liver"]  # a positive input makes class 1 the likeliest
    assert output.extra == {}
