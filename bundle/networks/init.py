"""Initial weights by the rule a paper names."""

from __future__ import annotations

import torch
from torch import nn

_CONVOLUTIONS = (nn.Conv2d, nn.Conv3d, nn.ConvTranspose2d, nn.ConvTranspose3d, nn.Linear)


def initialised(network: nn.Module, scheme: str = "xavier") -> nn.Module:
    """Return ``network`` with the weights of its convolutions and linear layers drawn anew, their biases zero.

    Draws from torch's global generator. Norm layers and all else stay as they are. Fans are counted as torch and Caffe
    count them, for transposed convolutions too.

    Args:
        network: changed in place.
        scheme: ``xavier``, uniform by both fans (Glorot 2010, eq. 16; Caffe's filler of that name takes the inputs
            alone), or ``he``, normal by the inputs, for ReLU (He 2015, sec. 2.2).
    """
    if scheme not in _SCHEMES:
        raise ValueError(f"scheme must be one of {sorted(_SCHEMES)}, got {scheme!r}")
    for module in network.modules():
        if isinstance(module, _CONVOLUTIONS):
            _SCHEMES[scheme](module.weight)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
    return network


def _xavier(weight: torch.Tensor) -> None:
    nn.init.xavier_uniform_(weight)


def _he(weight: torch.Tensor) -> None:
    nn.init.kaiming_normal_(weight, nonlinearity="relu")


_SCHEMES = {"xavier": _xavier, "he": _he}
