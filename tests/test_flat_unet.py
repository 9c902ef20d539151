"""bundle.networks.flat_unet and slice_segmenter: a 3-D network on single slices."""

from __future__ import annotations

import pytest
import torch
from monai.networks.nets import UNet

from bundle.networks import PNetMSA
from bundle.networks.flat_unet import FlatUNet
from bundle.networks.slice_segmenter import SliceSegmenter
from bundle.preprocess import HUWindows


def unet(stride: int = 2, **settings) -> UNet:
    torch.manual_seed(0)
    arguments = {"in_channels": 2, "out_channels": 3, "channels": (4, 8), "num_res_units": 1} | settings
    return UNet(spatial_dims=3, strides=(stride,), **arguments).eval()


def test_it_is_the_network_on_a_volume_that_does_not_change_along_z():
    network = unet(stride=1, norm="batch")
    image = torch.randn(1, 2, 12, 10)
    volume = network(image[..., None].expand(-1, -1, -1, -1, 21))
    # The slice in the middle is too far from both ends to see their padding.
    torch.testing.assert_close(FlatUNet(network).eval()(image), volume[..., 10], atol=1e-5, rtol=1e-4)


def test_an_up_convolution_weighs_with_the_mean_over_even_and_odd_slices():
    flat = FlatUNet(unet())
    name = next(iter(flat._up_strides))
    weight = dict(flat.network.named_parameters())[name]
    torch.testing.assert_close(flat._flattened(name, weight), weight.sum(dim=-1) / 2)


def test_gradients_reach_the_volume_network():
    network = unet()
    FlatUNet(network)(torch.randn(1, 2, 8, 8)).sum().backward()
    assert all(weight.grad is not None for weight in network.parameters())


def test_its_weights_are_those_of_the_volume_network_alone():
    network = unet()
    flat = FlatUNet(network)
    assert [id(weight) for weight in flat.parameters()] == [id(weight) for weight in network.parameters()]


@pytest.mark.parametrize("network", [PNetMSA(1, 2), UNet(2, 1, 2, (4, 8), (2,))])
def test_other_networks_are_refused(network):
    with pytest.raises(TypeError, match="3-D UNet"):
        FlatUNet(network)


def test_a_slices_logit_is_that_of_the_pancreas_against_all_else():
    network = unet()
    gray = torch.rand(2, 1, 8, 8)
    window = (-100.0, 240.0)
    image = HUWindows()((-100 + 340 * gray)[..., None])[..., 0]
    probability = FlatUNet(network).eval()(image).softmax(dim=1)[:, 1:2]
    found = SliceSegmenter(network, HUWindows(), window).eval()(gray.expand(-1, 3, -1, -1)).sigmoid()
    torch.testing.assert_close(found, probability)
