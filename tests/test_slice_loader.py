"""bundle.training.slice_loader: what a network sees of a real slice."""

from __future__ import annotations

import pytest
import torch

from bundle.read.slices import RealSlice
from bundle.training.slice_loader import slice_loader

SIZE = 64


@pytest.fixture(scope="module")
def disc() -> RealSlice:
    """A bright disc of the pancreas in the dark, 64 pixels wide."""
    x, y = torch.meshgrid(torch.arange(SIZE), torch.arange(SIZE), indexing="ij")
    label = ((x - 28) ** 2 + (y - 36) ** 2 < 14**2)[None]
    return RealSlice("disc", "0001", label.to(torch.uint8) * 200, label)


def drawn(disc: RealSlice, seed: int) -> dict[str, torch.Tensor]:
    return next(iter(slice_loader([disc], SIZE, 1, seed, channels=1)))


def test_image_and_label_are_deformed_alike(disc):
    for seed in range(8):
        batch = drawn(disc, seed)
        bright = batch["image"] > batch["image"].mean()
        assert (bright == batch["label"].bool()).float().mean() > 0.97


def test_a_label_stays_zero_or_one(disc):
    assert drawn(disc, 0)["label"].unique().tolist() == [0, 1]


def test_shape_and_contrast_differ_each_time(disc):
    loader = slice_loader([disc], SIZE, 1, seed=0, channels=1)
    first, second = (next(iter(loader)) for _ in range(2))
    assert not torch.equal(first["label"], second["label"])
    assert not torch.equal(first["image"], second["image"])


def test_the_same_seed_draws_the_same(disc):
    assert torch.equal(drawn(disc, 3)["image"], drawn(disc, 3)["image"])


def test_a_slice_stands_for_its_neighbours(disc):
    image = next(iter(slice_loader([disc], SIZE, 1, seed=0, channels=3)))["image"]
    assert image.shape == (1, 3, SIZE, SIZE)
    assert torch.equal(image[:, 0], image[:, 2])
