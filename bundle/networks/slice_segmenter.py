"""The segmenter of the cascade on a single slice."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import nn

from bundle.networks.flat_unet import FlatUNet

WINDOW_HU = (-100.0, 240.0)
"""Of the papers on NIH Pancreas-CT, and of what :func:`~bundle.training.slice_loader.reduced_image` gives."""


class SliceSegmenter(nn.Module):
    """:class:`~bundle.networks.flat_unet.FlatUNet` of a segmenter, with its intensities, from gray values to logits.

    Args:
        network: the cascade's segmenter, MONAI's ``UNet``; background is its first class, pancreas its second.
        intensity: from Hounsfield units (..., 1, X, Y, Z) to what the network takes, such as
            :class:`~bundle.preprocess.HUWindows`.
        window_hu: Hounsfield units of gray 0 and 1.
    """

    def __init__(
        self,
        network: nn.Module,
        intensity: Callable[[torch.Tensor], torch.Tensor],
        window_hu: tuple[float, float] = WINDOW_HU,
    ) -> None:
        super().__init__()
        self.flat = FlatUNet(network)
        self.intensity = intensity
        self.window_hu = window_hu

    def forward(self, gray: torch.Tensor) -> torch.Tensor:
        """Return logits (B, 1, X, Y), pancreas against all else, for slices (B, 1 or more, X, Y) in [0, 1].

        Channels after the first are left out: neighbouring slices, or repetitions.
        """
        lowest, highest = self.window_hu
        image_hu = lowest + gray[:, :1].float().clamp(0, 1) * (highest - lowest)
        logits = self.flat(self.intensity(image_hu[..., None])[..., 0])
        others = torch.cat([logits[:, :1], logits[:, 2:]], dim=1).logsumexp(dim=1, keepdim=True)
        return logits[:, 1:2] - others
