"""bundle.preprocess.intensity: Hounsfield units to channels."""

from __future__ import annotations

import pytest
import torch

from bundle.preprocess import HUWindows, Intensityd


def test_each_window_is_clipped_and_scaled_to_its_own_channel():
    image_hu = torch.tensor([-1000.0, -100.0, 0.0, 100.0, 3000.0]).reshape(1, 5, 1, 1)
    channels = HUWindows([(-100, 100), (-1000, 1000)])(image_hu)
    assert channels.shape == (2, 5, 1, 1)
    assert channels[0].flatten().tolist() == pytest.approx([0, 0, 0.5, 1, 1])
    assert channels[1].flatten().tolist() == pytest.approx([0, 0.45, 0.5, 0.55, 1])


def test_batch_keeps_its_axis():
    assert HUWindows()(torch.zeros(3, 1, 4, 5, 6)).shape == (3, 2, 4, 5, 6)


def test_int16_becomes_float32():
    assert HUWindows()(torch.zeros(1, 2, 2, 2, dtype=torch.int16)).dtype == torch.float32


@pytest.mark.parametrize("window", [(100, 100), (100, -100)])
def test_window_that_does_not_rise_is_refused(window):
    with pytest.raises(ValueError, match="lower to a higher"):
        HUWindows([window])


def test_dictionary_form_changes_its_keys_alone():
    data = {"image": torch.zeros(1, 2, 2, 2), "label": torch.ones(1, 2, 2, 2)}
    result = Intensityd("image", HUWindows([(-100, 100)]))(data)
    assert (result["image"] == 0.5).all()
    assert (result["label"] == 1).all()
