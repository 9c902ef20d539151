"""The plain 3-D U-Net: convolutions and max-pooling down, transposed convolutions and concatenation up."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from monai.networks.blocks import Convolution
from torch import nn

from bundle.errors import bad_input

INSTANCE = ("instance", {"affine": True})


class UNet3d(nn.Module):
    """U-Net of any number of levels, widths and padded 3×3×3 convolutions per level (Ronneberger 2015).

    The defaults are the network of both stages of Zhao 2019, 5 601 121 parameters. The paper's figure 3, its only
    description, is lost to us: levels, widths, norm and up-sampling are ours. MONAI has no such network: its ``UNet``
    and ``DynUNet`` downsample by strides, its ``BasicUNet`` has five levels and two convolutions in each.

    Level by level: convolutions (norm, ReLU), then ``max-pool 2``, the last level excepted; on the way back a
    transposed convolution of 2×2×2 and stride 2 to the upper level's width, concatenation ``[skip, up]``, convolutions;
    at last one of 1×1×1. Convolutions have a bias where no norm follows.

    Args:
        in_channels: of the input.
        out_channels: logits; 1 for a sigmoid.
        channels: width of each level, the finest first.
        encoder_convs: convolutions on the way down, one number or one per level. 0 passes the pooled features on, whose
            width must then be that of the level above.
        decoder_convs: convolutions on the way up, one number or one per level but the last.
        norm: as MONAI names it, with arguments if need be; None for none. Batches of one scan, each of another size,
            rule out batch normalisation.
    """

    def __init__(
        self,
        in_channels: int = 1,
        out_channels: int = 1,
        channels: Sequence[int] = (32, 64, 128, 256),
        encoder_convs: int | Sequence[int] = 2,
        decoder_convs: int | Sequence[int] = 2,
        norm: str | Sequence[Any] | None = INSTANCE,
    ) -> None:
        super().__init__()
        down_counts = _per_level("encoder_convs", encoder_convs, len(channels))
        up_counts = _per_level("decoder_convs", decoder_convs, len(channels) - 1)
        above = (in_channels, *channels[:-1])
        self.divisor = 2 ** (len(channels) - 1)
        self.pool = nn.MaxPool3d(2)
        self.encoder = nn.ModuleList(_convs(*widths, norm) for widths in zip(above, channels, down_counts))
        self.up = nn.ModuleList(
            nn.ConvTranspose3d(lower, upper, kernel_size=2, stride=2) for upper, lower in zip(channels, channels[1:])
        )
        self.decoder = nn.ModuleList(_convs(2 * n, n, count, norm) for n, count in zip(channels, up_counts))
        self.score = nn.Conv3d(channels[0], out_channels, kernel_size=1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return logits (B, N, X, Y, Z) for (B, C, X, Y, Z) whose axes are multiples of ``divisor``.

        Raises:
            InputError: other axes.
        """
        if any(n % self.divisor for n in x.shape[2:]):
            rule = f"windows and patches are multiples of {self.divisor} voxels along each axis"
            raise bad_input("patch_size", rule, tuple(x.shape[2:]), "Choose another size.")
        skips = []
        for level, convs in enumerate(self.encoder):
            x = convs(self.pool(x) if level else x)
            skips.append(x)
        skips.pop()
        for up, convs in zip(reversed(self.up), reversed(self.decoder)):
            x = convs(torch.cat([skips.pop(), up(x)], dim=1))
        return self.score(x)


def _convs(in_channels: int, out_channels: int, count: int, norm: Any) -> nn.Sequential:
    """Return ``count`` convolutions, each with norm and ReLU."""
    if count == 0 and in_channels != out_channels:
        raise ValueError(f"a level without convolutions keeps its {in_channels} channels, got {out_channels}")
    return nn.Sequential(
        *(
            Convolution(
                spatial_dims=3,
                in_channels=out_channels if i else in_channels,
                out_channels=out_channels,
                adn_ordering="NA",
                act=("relu", {"inplace": True}),
                norm=norm,
                bias=norm is None,
            )
            for i in range(count)
        )
    )


def _per_level(name: str, count: int | Sequence[int], levels: int) -> tuple[int, ...]:
    counts = (count,) * levels if isinstance(count, int) else tuple(count)
    if len(counts) != levels:
        raise ValueError(f"{name} needs one number or {levels}, one per level, got {counts}")
    return counts
