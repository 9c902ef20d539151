"""bundle.networks.unet3d: shapes, parameters and one value worked out by hand."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from bundle.networks.unet3d import UNet3d

XUE_C1 = {"out_channels": 2, "channels": (32, 64, 128, 128), "encoder_convs": (2, 1, 1, 0), "decoder_convs": 1}


# Our network of Zhao 2019; that of Xue 2019, C1, whose deepest level has no convolutions.
@pytest.mark.parametrize(("settings", "parameters"), [({}, 5_601_121), (XUE_C1 | {"norm": None}, 1_679_970)])
def test_number_of_parameters(settings, parameters):
    with torch.device("meta"):
        assert sum(p.numel() for p in UNet3d(**settings).parameters()) == parameters


@pytest.mark.parametrize(("widths", "millions"), [((16, 32, 64, 128, 256), 5.65), ((32, 64, 128, 256, 512), 22.6)])
def test_number_of_parameters_with_five_levels(widths, millions):
    with torch.device("meta"):
        assert sum(p.numel() for p in UNet3d(channels=widths).parameters()) / 1e6 == pytest.approx(millions, rel=3e-3)


@pytest.mark.parametrize("norm", [("instance", {"affine": True}), ("group", {"num_groups": 2}), "batch", None])
def test_logits_have_the_size_of_the_input(norm):
    network = UNet3d(2, 3, channels=(2, 4, 4), norm=norm)
    assert network(torch.rand(1, 2, 16, 12, 8)).shape == (1, 3, 16, 12, 8)


def test_pooled_features_come_back_beside_the_skip():
    network = UNet3d(channels=(1, 1), encoder_convs=0, decoder_convs=1, norm=None)
    for layer in network.modules():
        if isinstance(layer, nn.Conv3d | nn.ConvTranspose3d):
            nn.init.constant_(layer.bias, 0)
            nn.init.constant_(layer.weight, 0 if layer.kernel_size == (3, 3, 3) else 1)
            if layer.kernel_size == (3, 3, 3):  # channels [skip, up]
                layer.weight.data[0, :, 1, 1, 1] = torch.tensor([1.0, 10.0])
    x = torch.rand(1, 1, 4, 6, 8)
    highest = nn.functional.max_pool3d(x, 2).repeat_interleave(2, 2).repeat_interleave(2, 3).repeat_interleave(2, 4)
    torch.testing.assert_close(network(x), x + 10 * highest)


def test_convolutions_without_norm_have_a_bias():
    assert UNet3d(norm=None, channels=(2, 2)).state_dict().keys() >= {"encoder.0.0.conv.bias"}
    assert "encoder.0.0.conv.bias" not in UNet3d(channels=(2, 2)).state_dict()


def test_size_that_the_poolings_do_not_divide_is_refused():
    with pytest.raises(ValueError, match="multiples of 8"):
        UNet3d(channels=(1, 1, 1, 1))(torch.rand(1, 1, 16, 16, 12))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"encoder_convs": (2, 2)}, "encoder_convs needs one number or 4"),
        ({"decoder_convs": (1, 1)}, "decoder_convs needs one number or 3"),
        ({"encoder_convs": (2, 1, 1, 0)}, "keeps its 128 channels, got 256"),
    ],
)
def test_levels_that_do_not_fit_are_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        UNet3d(**settings)
