"""The 3-D U-Net of unpadded convolutions: what it says of a voxel rests on real voxels alone."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn.functional import pad

from bundle.errors import bad_input
from bundle.networks.init import initialised

_CHANNELS = ((32, 64), (64, 128), (128, 256), (256, 512))  # of the two convolutions of each level, on the way down
_SHORTEST = 92
_POOLED = 8  # voxels of the input per voxel of the lowest level


class ValidUNet(nn.Module):
    """Four-level 3-D U-Net without padding, channels doubled before each pooling: L voxels of input give L - 88.

    Roth et al. 2018, sec. 2 and fig. 2 (https://arxiv.org/abs/1803.05431), after Çiçek et al. 2016
    (https://arxiv.org/abs/1606.06650). The authors' input of 132×132×116 voxels (X, Y, Z) gives 44×44×28; an axis may
    have 92, 100, 108, ... voxels. With 8 classes there are 19 072 712 parameters.

    What the text leaves open follows the authors' released network: of the convolutions, only the first (bias -0.1 at
    the start) and the last have a bias; He initialisation. Their batch normalisation takes its statistics from the one
    tile that it is given, in testing as in training: that is instance normalisation with scale and shift. It cancels
    the first bias, which stays for the count.

    Args:
        in_channels: channels of the input.
        out_channels: classes, background included.
        width: factor on the channels of every layer in between, for a smaller budget; at least one channel remains.
        norm: ``instance``, or ``none`` for the network without normalisation, where every 3×3×3 convolution has a bias.
    """

    def __init__(self, in_channels: int = 1, out_channels: int = 8, width: float = 1.0, norm: str = "instance") -> None:
        super().__init__()
        if norm not in ("instance", "none"):
            raise ValueError(f"norm must be 'instance' or 'none', got {norm!r}")
        levels = [(_scaled(first, width), _scaled(second, width)) for first, second in _CHANNELS]
        inputs = [in_channels, *(level[1] for level in levels)]
        self.pool = nn.MaxPool3d(kernel_size=2)
        self.encoders = nn.ModuleList(
            _two_convs(n, level, norm, first_bias=level is levels[0]) for n, level in zip(inputs, levels)
        )
        self.ups = nn.ModuleList()
        self.decoders = nn.ModuleList()
        below = levels[-1][1]
        for _, skip in reversed(levels[:-1]):
            deconv = nn.ConvTranspose3d(below, below, kernel_size=2, stride=2, bias=False)
            self.ups.append(nn.Sequential(deconv, *_norm_relu(below, norm)))
            self.decoders.append(_two_convs(below + skip, (skip, skip), norm))
            below = skip
        self.score = nn.Conv3d(below, out_channels, kernel_size=1)
        initialised(self, "he")
        first = next(module for module in self.modules() if isinstance(module, nn.Conv3d))
        nn.init.constant_(first.bias, -0.1)  # type: ignore[arg-type]

    def forward(self, x: Tensor) -> Tensor:
        """Return logits (B, N, X - 88, Y - 88, Z - 88) for the middle of ``x`` (B, C, X, Y, Z).

        Raises:
            InputError: an axis that leaves no output or that the poolings don't divide.
        """
        _check_size(x.shape[2:])
        skips: list[Tensor] = []
        for encoder in self.encoders:
            x = encoder(self.pool(x) if skips else x)
            skips.append(x)
        for up, decoder, skip in zip(self.ups, self.decoders, reversed(skips[:-1])):
            x = up(x)
            x = decoder(torch.cat([x, central(skip, x.shape[2:])], dim=1))
        return self.score(x)


def central(volume: Tensor, size: Sequence[int]) -> Tensor:
    """Return the ``size`` (X, Y, Z) voxels in the middle of ``volume`` (..., X, Y, Z).

    A voxel that can't be shared between the two ends is cut off the far one. It is negative padding because, unlike
    that of a slice, its gradient has the memory layout of the volume: a training step takes two thirds of the time.
    """
    excess = [have - kept for have, kept in zip(volume.shape[-3:], size)]
    return pad(volume, [side for n in reversed(excess) for side in (-(n // 2), n // 2 - n)])


def _scaled(channels: int, width: float) -> int:
    return max(1, round(channels * width))


def _two_convs(in_channels: int, channels: tuple[int, int], norm: str, first_bias: bool = False) -> nn.Sequential:
    """Two convolutions; beside normalisation, which would cancel it, the second never has a bias."""
    middle, out = channels
    bias = norm == "none"
    first = nn.Conv3d(in_channels, middle, kernel_size=3, bias=bias or first_bias)
    second = nn.Conv3d(middle, out, kernel_size=3, bias=bias)
    return nn.Sequential(first, *_norm_relu(middle, norm), second, *_norm_relu(out, norm))


def _norm_relu(channels: int, norm: str) -> list[nn.Module]:
    relu = nn.ReLU(inplace=True)
    return [relu] if norm == "none" else [nn.InstanceNorm3d(channels, affine=True), relu]


def _check_size(size: Sequence[int]) -> None:
    if all(n >= _SHORTEST and (n - _SHORTEST) % _POOLED == 0 for n in size):
        return
    below = tuple(max(_SHORTEST, n - (n - _SHORTEST) % _POOLED) for n in size)
    above = tuple(max(_SHORTEST, n + (_SHORTEST - n) % _POOLED) for n in size)
    rule = f"tiles and patches have {_SHORTEST} voxels or a multiple of {_POOLED} more along each axis"
    raise bad_input("patch_size", rule, tuple(size), f"The next sizes are {below} and {above}.")
