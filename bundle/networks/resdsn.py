"""Encoder and decoder joined by residual sums, with deeply supervised heads."""

from __future__ import annotations

import torch
from torch import nn

from bundle.errors import bad_input
from bundle.networks.init import initialised

LEVELS = 4


class ResDSN(nn.Module):
    """3-D network with long residual sums and two auxiliary heads (Zhu 2018, sec. 3.4, Fig. 3 and Table 1).

    Four levels of one, two, two and two 3×3×3 convolutions, max-pooling between them; then three steps of a 4×4×4
    deconvolution of stride 2, the sum with the encoder's map of that size, and two convolutions. Batch normalisation
    and ReLU follow every convolution and deconvolution; after a sum there is no further ReLU. A 1×1×1 convolution gives
    the classes. In training the maps of levels 2 and 3 give the classes too, brought to full size by deconvolutions
    without normalisation or ReLU.

    The networks of the paper's Table 4 are settings: ResDSN the default, FResDSN ``short="sum"``, SResDSN
    ``long="none", short="sum"``, DSN ``long="none", decoder_convs=0``; "Res" of Table 6 is ``deep=False``.

    The paper's text leaves open, and we take from the code of 3D-DSN that it builds on
    (https://github.com/yulequan/HeartSeg): the convolutions of each level, the channels, the auxiliary branches. The
    decoder's channels must be the encoder's for the sums. Our choice: the decoder's convolutions after the sum; the
    short residual, which joins the ends of every step of two convolutions or more, through a 1×1×1 convolution where
    the channels differ; He initialisation (that code has a Gaussian of 0.01).

    8 189 670 parameters with one input, two classes and the auxiliary heads, 7 403 106 without them.

    Args:
        in_channels: of the input.
        out_channels: classes, background included.
        long: what joins encoder and decoder, ``none``, ``sum`` or ``concat``.
        short: what joins the ends of a step, ``none`` or ``sum``.
        deep: whether there are auxiliary heads.
        width: channels of the first level, doubled from level to level: every number of channels is proportional to
            it, parameters and operations are to its square.
        decoder_convs: convolutions per step of the decoder.
    """

    def __init__(
        self,
        in_channels: int = 1,
        out_channels: int = 2,
        long: str = "sum",
        short: str = "none",
        deep: bool = True,
        width: int = 32,
        decoder_convs: int = 2,
    ) -> None:
        super().__init__()
        if long not in ("none", "sum", "concat"):
            raise ValueError(f"long must be 'none', 'sum' or 'concat', got {long!r}")
        if short not in ("none", "sum"):
            raise ValueError(f"short must be 'none' or 'sum', got {short!r}")
        self.long = long
        widths = [width * 2**level for level in range(LEVELS)]
        encoder, up, decoder = [], [], []
        channels = in_channels
        for level, new in enumerate(widths):
            encoder.append(_Step(channels, new, convs=1 if level == 0 else 2, residual=short == "sum"))
            channels = new
        for new in reversed(widths[:-1]):
            up.append(nn.Sequential(_upsampling(channels, new), nn.BatchNorm3d(new), nn.ReLU(inplace=True)))
            channels = 2 * new if long == "concat" else new
            decoder.append(_Step(channels, new, decoder_convs, residual=short == "sum"))
            channels = new if decoder_convs else channels
        self.encoder, self.up, self.decoder = nn.ModuleList(encoder), nn.ModuleList(up), nn.ModuleList(decoder)
        self.pool = nn.MaxPool3d(2)
        self.score = nn.Conv3d(channels, out_channels, kernel_size=1)
        self.auxiliary = nn.ModuleDict(
            {f"aux{level}": _auxiliary_head(widths[: level + 1], out_channels) for level in (1, 2)} if deep else {}
        )
        initialised(self, "he")

    def forward(self, x: torch.Tensor) -> torch.Tensor | dict[str, torch.Tensor]:
        """Return logits (B, N, X, Y, Z) for ``x`` (B, C, X, Y, Z); with auxiliary heads, in training a dict.

        Its keys are ``pred``, ``aux1`` (of Conv2b) and ``aux2`` (of Conv3b).
        """
        _check_size(x)
        maps: list[torch.Tensor] = []
        for level, step in enumerate(self.encoder):
            x = step(self.pool(x) if level else x)
            maps.append(x)
        for up, step, low in zip(self.up, self.decoder, maps[-2::-1], strict=True):
            x = step(self._joined(up(x), low))
        if not (self.training and self.auxiliary):
            return self.score(x)
        auxiliary = {name: head(maps[int(name[-1])]) for name, head in self.auxiliary.items()}
        return {"pred": self.score(x), **auxiliary}

    def _joined(self, high: torch.Tensor, low: torch.Tensor) -> torch.Tensor:
        if self.long == "concat":
            return torch.cat([high, low], dim=1)
        return high + low if self.long == "sum" else high


class _Step(nn.Module):
    """Convolutions of one resolution, each with normalisation and ReLU; if asked, the input is added to the result."""

    def __init__(self, in_channels: int, out_channels: int, convs: int, residual: bool) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for index in range(convs):
            layers += [
                nn.Conv3d(out_channels if index else in_channels, out_channels, kernel_size=3, padding=1),
                nn.BatchNorm3d(out_channels),
                nn.ReLU(inplace=True),
            ]
        self.convs = nn.Sequential(*layers)
        self.shortcut: nn.Module | None = None
        if residual and convs > 1:
            same = in_channels == out_channels
            self.shortcut = nn.Identity() if same else nn.Conv3d(in_channels, out_channels, kernel_size=1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.convs(x)
        return y if self.shortcut is None else y + self.shortcut(x)


def _upsampling(in_channels: int, out_channels: int, bias: bool = True) -> nn.ConvTranspose3d:
    return nn.ConvTranspose3d(in_channels, out_channels, kernel_size=4, stride=2, padding=1, bias=bias)


def _auxiliary_head(widths: list[int], out_channels: int) -> nn.Sequential:
    """From a map of ``widths[-1]`` channels back to full size, halving the channels, to the classes."""
    ups = [_upsampling(high, low, bias=False) for high, low in zip(widths[:0:-1], widths[-2::-1])]
    return nn.Sequential(*ups, nn.Conv3d(widths[0], out_channels, kernel_size=1))


def _check_size(x: torch.Tensor) -> None:
    divisor = 2 ** (LEVELS - 1)
    if any(n % divisor for n in x.shape[-3:]):
        rule = f"windows and patches of ResDSN are multiples of {divisor} voxels along each axis"
        raise bad_input("patch_size", rule, tuple(x.shape[-3:]), "Choose another window, 64 × 64 × 64 for example.")
