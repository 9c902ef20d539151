"""The segmenter of Xue 2019: a U-Net that draws the organ and its skeleton."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from monai.networks.blocks import Convolution
from torch import Tensor, nn

from bundle.errors import bad_input

SKELETON_HEAD = ("training", "always", "none")


class MultitaskDenseUNet(nn.Module):
    """U-Net with dense links inside its blocks and two heads: the classes, and a heat map of the organ's skeleton.

    Network C2 of Xue et al. 2019, sec. II-B and fig. 3. With the defaults but ``norm=None``, the paper's network as we
    read it, it has 12 070 691 parameters; with batch normalisation, whose convolutions have no bias, 12 073 251. (The
    paper's C1 is :class:`~bundle.networks.unet3d.UNet3d` of ``channels=(32, 64, 128, 128)``,
    ``encoder_convs=(2, 1, 1, 0)``, ``decoder_convs=1`` and two classes: 1 679 970 parameters without a norm.)

    Level by level on the way down: 3×3×3 convolutions with ReLU, then ``max-pool 2``, the last level excepted. On the
    way up: a transposed convolution of 2×2×2 and stride 2, concatenation ``[skip, up]``, one convolution and, but for
    the finest level, the feature-consistency module, two more convolutions; the finest level has two in all. Each head
    is a convolution of 3×3×3 and one of 1×1×1.

    In a dense block each convolution sees the outputs of all the earlier ones of the block, concatenated, but not the
    block's own input; the last convolution's output is the block's. That is what the arcs of fig. 3 show.

    Departures and gaps: the paper's text tells kernel sizes, poolings and that there are dense links and modules; the
    numbers of convolutions and the links are read off fig. 3. Widths are ours. "Five blocks of convolutional and
    pooling layers" are four pooled blocks and the lowest: a window 16 voxels deep can't be halved five times. The paper
    names no normalisation, ours is by batch.

    Args:
        in_channels: of the input.
        out_channels: logits of the main head, background first.
        widths: channels of each level, the finest first.
        encoder_convs: convolutions on the way down, one number per level.
        norm: as MONAI names it, with arguments if need be (``["instance", {"affine": true}]``); None for none, and
            then every convolution has a bias.
        dense: whether blocks have dense links; otherwise they are plain chains (fig. 11).
        consistency: whether there are feature-consistency modules (fig. 13).
        skeleton: when the skeleton's head answers: in ``training`` only, which is when it is needed; ``always``; or
            ``none``, a network without that head (the paper's single task, sec. III-E 2c).
    """

    def __init__(
        self,
        in_channels: int = 1,
        out_channels: int = 2,
        widths: Sequence[int] = (32, 64, 128, 128, 128),
        encoder_convs: Sequence[int] = (2, 2, 3, 3, 4),
        norm: str | Sequence[Any] | None = "batch",
        dense: bool = True,
        consistency: bool = True,
        skeleton: str = "training",
    ) -> None:
        super().__init__()
        if len(encoder_convs) != len(widths) or min(encoder_convs) < 1:
            rule = "encoder_convs must be positive numbers, one for each of widths"
            raise ValueError(f"{rule}, got {tuple(encoder_convs)} for {tuple(widths)}")
        if skeleton not in SKELETON_HEAD:
            raise ValueError(f"skeleton must be one of {SKELETON_HEAD}, got {skeleton!r}")
        self.divisor = 2 ** (len(widths) - 1)
        self.skeleton_when = skeleton
        self.pool = nn.MaxPool3d(kernel_size=2)
        above = (in_channels, *widths[:-1])
        self.encoder = nn.ModuleList(
            _Block(inputs, width, count, norm, dense) for inputs, width, count in zip(above, widths, encoder_convs)
        )
        self.up = nn.ModuleList(
            nn.ConvTranspose3d(lower, upper, kernel_size=2, stride=2) for upper, lower in zip(widths, widths[1:])
        )
        decoder_convs = [3 if consistency else 1] * (len(widths) - 1)
        decoder_convs[0] = 2
        self.decoder = nn.ModuleList(
            _Block(2 * width, width, count, norm, dense) for width, count in zip(widths, decoder_convs)
        )
        self.pred_head = _head(widths[0], out_channels, norm)
        self.skeleton_head = None if skeleton == "none" else _head(widths[0], 1, norm)

    def forward(self, x: Tensor) -> Tensor | dict[str, Tensor]:
        """Return logits (B, N, X, Y, Z), or {"pred": those, "skeleton": (B, 1, X, Y, Z)} where that head answers.

        ``x`` is (B, C, X, Y, Z), whose axes are multiples of ``divisor``; the paper's window is 64×64×16.

        Raises:
            InputError: other axes.
        """
        if any(n % self.divisor for n in x.shape[2:]):
            pools = len(self.up)
            rule = f"a network of {pools} poolings needs axes that are multiples of {self.divisor} voxels"
            raise bad_input("window", rule, tuple(x.shape[2:]), "Choose another window, or fewer widths.")
        skips = []
        for level, block in enumerate(self.encoder):
            x = block(self.pool(x) if level else x)
            skips.append(x)
        skips.pop()
        for up, block in zip(reversed(self.up), reversed(self.decoder)):
            x = block(torch.cat([skips.pop(), up(x)], dim=1))
        logits = self.pred_head(x)
        if self.skeleton_head is None or not (self.training or self.skeleton_when == "always"):
            return logits
        return {"pred": logits, "skeleton": self.skeleton_head(x)}


class _Block(nn.Module):
    """Convolutions in a chain; if dense, each sees the outputs of all before it in the block."""

    def __init__(self, in_channels: int, width: int, count: int, norm: Any, dense: bool) -> None:
        super().__init__()
        self.dense = dense
        inputs = [in_channels, *(width * i if dense else width for i in range(1, count))]
        self.convs = nn.ModuleList(_conv(n, width, norm) for n in inputs)

    def forward(self, x: Tensor) -> Tensor:
        outputs: list[Tensor] = []
        for conv in self.convs:
            x = conv(torch.cat(outputs, dim=1) if self.dense and outputs else x)
            outputs.append(x)
        return x


def _head(width: int, out_channels: int, norm: Any) -> nn.Sequential:
    return nn.Sequential(_conv(width, width, norm), nn.Conv3d(width, out_channels, kernel_size=1))


def _conv(in_channels: int, out_channels: int, norm: Any) -> nn.Module:
    """Return a convolution of 3×3×3, norm and ReLU."""
    return Convolution(
        spatial_dims=3,
        in_channels=in_channels,
        out_channels=out_channels,
        adn_ordering="NA",
        act=("relu", {"inplace": True}),
        norm=norm,
        bias=norm is None,
    )
