"""Dice loss of two classes."""

from __future__ import annotations

import torch
from torch import nn

from bundle.losses.foreground import Output, foreground_mask, foreground_probability

EPSILON = 1e-5


class SudreDiceLoss(nn.Module):
    r"""DL2, :math:`1 - \frac{\sum y\hat y}{\sum (y+\hat y)} - \frac{\sum (1-y)(1-\hat y)}{\sum (2-y-\hat y)}`.

    0 where perfect, 1 where everything is wrong. Sudre et al. 2017, sec. 2 (https://arxiv.org/abs/1707.03237), as the
    Dice loss of Zhao 2019, eq. 2: of that equation only :math:`\sum_i (1-y_i)(1-\hat y_i)` is left to us, and DL2 is
    the only Dice loss we know that has this factor.

    Per scan, then the mean of the batch. ε = 1e-5 is added to the numerators and, other than in Sudre, twice to the
    denominators, so that a class that is absent and not predicted costs nothing.

    Args:
        variant: ``two_class`` is DL2. ``foreground`` is the plain soft Dice loss :math:`1 - 2\sum y\hat y/\sum
            (y+\hat y)`. ``sum`` is that plus the same of the background, twice DL2.
    """

    def __init__(self, variant: str = "two_class") -> None:
        super().__init__()
        if variant not in _VARIANTS:
            raise ValueError(f"variant must be one of {sorted(_VARIANTS)}, got {variant!r}")
        self.variant = variant

    def forward(self, input: Output, target: torch.Tensor) -> torch.Tensor:
        """Return the loss, a scalar; ``input`` (B, N, X, Y, Z) logits, ``target`` (B, 1, X, Y, Z) class indices."""
        weight_foreground, weight_background = _VARIANTS[self.variant]
        probability, mask = foreground_probability(input), foreground_mask(target)
        loss = weight_foreground * _dice_loss(probability, mask)
        if weight_background:
            loss = loss + weight_background * _dice_loss(1 - probability, 1 - mask)
        return loss.mean()


_VARIANTS = {"two_class": (0.5, 0.5), "foreground": (1.0, 0.0), "sum": (1.0, 1.0)}
"""Weights of the two classes' soft Dice losses: 1 - a - b is (1 - 2 a) / 2 + (1 - 2 b) / 2."""


def _dice_loss(probability: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """Return the soft Dice loss (B,) of one class; (B, X, Y, Z) each."""
    common = (probability * mask).sum(dim=(1, 2, 3))
    both = probability.sum(dim=(1, 2, 3)) + mask.sum(dim=(1, 2, 3))
    return 1 - 2 * (common + EPSILON) / (both + 2 * EPSILON)
