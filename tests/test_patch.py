"""Random patches of training."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from bundle.training import RandPatchd


def patch_of(shape, patch_size, seed=0, label=None, **kwargs):
    label = torch.zeros(1, *shape) if label is None else label
    image = torch.arange(label.numel(), dtype=torch.float32).reshape(label.shape)
    rand_patch = RandPatchd(["image", "label"], "label", patch_size, **kwargs)
    rand_patch.set_random_state(seed=seed)
    return rand_patch({"image": image, "label": label}), image


STILL = {"rotate_rad": 0.0, "scale_range": 0.0}


@pytest.fixture
def no_axis_scale(monkeypatch):
    monkeypatch.setattr(RandPatchd, "AXIS_SCALE", 0.0)


def test_without_rotation_and_scale_a_patch_of_the_scans_size_is_the_scan(no_axis_scale):
    patch, image = patch_of((16, 24, 8), (16, 24, 8), **STILL)
    assert torch.allclose(patch["image"], image, atol=1e-2)


def test_a_patch_lies_inside_the_scan_where_it_fits(no_axis_scale):
    label = torch.zeros(1, 32, 32, 32)
    label[0, 0, 0, 0] = 1  # in the corner: the patch must be pushed back inside
    patch, image = patch_of((32, 32, 32), (16, 16, 16), label=label, target_prob=1.0, **STILL)
    assert torch.allclose(patch["image"], image[:, :16, :16, :16], atol=1e-2)


def test_a_thin_slab_gives_a_patch_of_the_multiple_of_eight_that_covers_it(no_axis_scale):
    patch, _ = patch_of((32, 32, 11), (32, 32, 32), **STILL)
    assert patch["image"].shape == (1, 32, 32, 16)


def test_a_patch_that_is_not_fitted_has_the_size_asked_for():
    patch, _ = patch_of((32, 32, 11), (32, 32, 32), fitted=False)
    assert patch["label"].shape == (1, 32, 32, 32)


def test_a_slab_is_as_thin_as_a_multiple_of_eight_may_be():
    depths = {patch_of((32, 32, 32), (32, 32, 32), seed, slab_prob=1.0)[0]["label"].shape[-1] for seed in range(20)}
    assert depths == {16, 24, 32}


def test_a_patch_around_the_target_holds_it():
    label = torch.zeros(1, 64, 64, 64)
    label[0, 40:44, 20:24, 50:54] = 1
    for seed in range(10):
        patch, _ = patch_of(label.shape[1:], (24, 24, 24), seed, label=label, target_prob=1.0)
        assert (patch["label"] == 1).any()


def test_scaling_by_two_halves_the_distance_between_samples(no_axis_scale, monkeypatch):
    rand_patch = RandPatchd(["image", "label"], "label", (8, 8, 8), rotate_rad=0.0, scale_range=1.0)
    monkeypatch.setattr(rand_patch, "R", np.random.RandomState(0))
    monkeypatch.setattr(rand_patch, "_random_step", lambda: np.array([0.5, 0.5, 0.5]))
    x = torch.arange(32.0).reshape(1, 32, 1, 1).expand(1, 32, 32, 32)
    patch = rand_patch({"image": x, "label": torch.zeros(1, 32, 32, 32)})
    assert torch.allclose(patch["image"][0, 1:, 4, 4] - patch["image"][0, :-1, 4, 4], torch.tensor(0.5), atol=1e-4)


def test_sizes_vary_between_the_factors_asked_for_in_multiples_of_eight():
    patches = [patch_of((96, 96, 96), (32, 32, 32), seed, size_range=(0.5, 2.0))[0] for seed in range(30)]
    edges = {edge for patch in patches for edge in patch["label"].shape[1:]}
    assert edges <= {16, 24, 32, 40, 48, 56, 64} and len(edges) > 4


def test_a_patch_that_is_bent_differs_by_a_few_voxels(no_axis_scale):
    x = torch.arange(40.0).reshape(1, 40, 1, 1).expand(1, 40, 40, 40)
    rand_patch = RandPatchd("image", "label", (40, 40, 40), bend=2.0, **STILL)
    rand_patch.set_random_state(seed=1)
    patch = rand_patch({"image": x, "label": torch.zeros(1, 40, 40, 40)})
    moved = (patch["image"] - x).abs()
    assert 0.3 < moved.mean() < 4


def test_bending_keeps_a_slab_between_its_planes(no_axis_scale):
    z = torch.arange(16.0).expand(1, 32, 32, 16)
    rand_patch = RandPatchd("image", "label", (32, 32, 32), bend=3.0, **STILL)
    patch = rand_patch({"image": z, "label": torch.zeros(1, 32, 32, 16)})
    assert torch.allclose(patch["image"], z, atol=1e-3)


def test_same_seed_same_patch():
    first, _ = patch_of((32, 32, 32), (16, 16, 16), seed=3)
    second, _ = patch_of((32, 32, 32), (16, 16, 16), seed=3)
    assert torch.equal(first["image"], second["image"])
