"""A 3-D U-Net on single slices: what it computes on a volume that doesn't change along Z."""

from __future__ import annotations

import torch
from monai.networks.nets import UNet
from torch import nn
from torch.func import functional_call

_SETTINGS = (
    *("in_channels", "out_channels", "channels", "strides", "kernel_size", "up_kernel_size", "num_res_units"),
    *("act", "norm", "dropout", "bias", "adn_ordering"),
)
"""Arguments of ``UNet``, which keeps each under its name."""


class FlatUNet(nn.Module):
    """MONAI's ``UNet`` in 2-D with the weights of one in 3-D; gradients reach the latter.

    On a volume that doesn't change along Z, a convolution weighs every slice with the sum of its kernel along Z. An
    up-convolution of stride 2 gives even and odd slices different parts of the kernel; here they get the mean. What
    differs from the volume is therefore this mean, and the padding at its ends.

    Args:
        network: MONAI's ``UNet`` in 3-D; its state is this module's, under ``network.``.

    Raises:
        TypeError: another network than MONAI's ``UNet`` in 3-D.
    """

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        if not isinstance(network, UNet) or network.dimensions != 3:
            raise TypeError(f"FlatUNet takes a 3-D UNet of MONAI, got {type(network).__name__}")
        self.network = network
        plane = UNet(spatial_dims=2, **{name: getattr(network, name) for name in _SETTINGS})
        # In a tuple: its own weights, which are never used, are no weights of this module.
        self._plane = (plane.to("meta"),)
        self._up_strides = {
            f"{name}.weight": module.stride[2]
            for name, module in network.named_modules()
            if isinstance(module, nn.ConvTranspose3d)
        }

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return logits (B, N, X, Y) for slices (B, C, X, Y), X and Y multiples of the product of the strides."""
        weights = {name: self._flattened(name, value) for name, value in self.network.named_parameters()}
        plane = self._plane[0].train(self.training)
        return functional_call(plane, weights | dict(self.network.named_buffers()), (x,))

    def _flattened(self, name: str, weight: torch.Tensor) -> torch.Tensor:
        return weight.sum(dim=-1) / self._up_strides.get(name, 1) if weight.ndim == 5 else weight
