"""Organs of random brightness in training."""

from __future__ import annotations

import torch

from bundle.training import RandClassShiftd


def shifted(label, seed=0, **kwargs):
    transform = RandClassShiftd("image", "label", **{"prob": 1.0, **kwargs})
    transform.set_random_state(seed=seed)
    return transform({"image": torch.zeros(label.shape), "label": label})["image"]


def two_organs():
    label = torch.zeros(1, 24, 16, 16)
    label[:, :8], label[:, 16:] = 1, 2
    return label


def test_each_class_is_shifted_by_one_amount_of_its_own():
    image = shifted(two_organs(), blur=0.3)
    first, second = image[0, 2, 8, 8], image[0, 21, 8, 8]
    assert first != 0 and second != 0 and first != second
    assert torch.allclose(image[0, :6, 4:12, 4:12], first, atol=1e-3)


def test_background_stays_as_it_is():
    assert torch.allclose(shifted(two_organs())[0, 12, 4:12, 4:12], torch.tensor(0.0), atol=1e-3)


def test_at_the_edge_the_shift_is_between_those_of_the_sides():
    image = shifted(two_organs())
    organ, edge = image[0, 2, 8, 8], image[0, 8, 8, 8]
    assert 0 < edge / organ < 0.5


def test_with_probability_nought_nothing_changes():
    assert not shifted(two_organs(), prob=0.0).any()


def test_same_seed_same_shift():
    assert torch.equal(shifted(two_organs(), seed=4), shifted(two_organs(), seed=4))
