"""Losses for networks that read more than they answer for."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import nn

from bundle.losses.foreground import Output
from bundle.networks.valid_unet import central


class CentralLoss(nn.Module):
    """Another loss, of the middle of the target: the part that the logits of a valid convolution belong to.

    Args:
        loss: ``loss(input, target)`` of arrays of one size.
    """

    def __init__(self, loss: nn.Module) -> None:
        super().__init__()
        self.loss = loss

    def forward(self, input: Output, target: torch.Tensor) -> torch.Tensor:
        """Return the loss, a scalar; ``input`` (B, N, X, Y, Z) logits, ``target`` (B, C, X', Y', Z'), no smaller."""
        logits = input["pred"] if isinstance(input, Mapping) else input
        return self.loss(input, central(target, logits.shape[2:]))
