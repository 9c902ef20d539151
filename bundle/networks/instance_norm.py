"""Instance normalisation that leaves volumes in the memory layout that convolves fastest."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn.functional import batch_norm


class ChannelsLastInstanceNorm3d(nn.InstanceNorm3d):
    """Torch's ``InstanceNorm3d``, the same numbers, which copies a batch of one no longer.

    Torch computes it as batch normalisation of the volume with its channels in front, so that a volume in channels-last
    layout is copied into the other layout and back: a third to half of the time of a forward pass without a GPU. The
    batch normalisation of one scan is its instance normalisation, in any layout.
    """

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return (B, C, X, Y, Z) with each channel of each scan at mean 0 and variance 1, scaled and shifted."""
        if len(x) > 1 or self.track_running_stats:
            return super().forward(x)
        return batch_norm(x, None, None, self.weight, self.bias, training=True, eps=self.eps)


def keep_channels_last(network: nn.Module) -> None:
    """Make each ``InstanceNorm3d`` in ``network`` a :class:`ChannelsLastInstanceNorm3d`; weights and keys stay."""
    for module in network.modules():
        if type(module) is nn.InstanceNorm3d:
            module.__class__ = ChannelsLastInstanceNorm3d
