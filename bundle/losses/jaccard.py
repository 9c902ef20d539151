"""The loss of Cai et al. 2018: one minus the Jaccard index of probabilities and mask."""

from __future__ import annotations

import torch
from torch import nn

from bundle.losses.foreground import Output, foreground_mask, foreground_probability

REDUCTIONS = ("batch", "slice")

SMALLEST_UNION = 1e-6
"""Keeps the gradient finite where there is no foreground and every probability underflows."""


class JaccardLoss(nn.Module):
    r""":math:`1 - \frac{\sum_{f \in Y_+} \hat y_f}{|Y_+| + \sum_{b \in Y_-} \hat y_b}`, for class 1 against all else.

    Cai et al. 2018, eq. 14. A slice without foreground has loss 1 and no gradient, so that nothing ever punishes what
    is found there by mistake; therefore the sums run over the whole batch by default, where the paper says nothing.

    Args:
        reduction: ``batch``, one ratio for all voxels of the batch; ``slice``, the mean over one ratio per axial slice.
    """

    def __init__(self, reduction: str = "batch") -> None:
        super().__init__()
        if reduction not in REDUCTIONS:
            raise ValueError(f"reduction must be one of {REDUCTIONS}, got {reduction!r}")
        self.reduction = reduction

    def forward(self, input: Output, target: torch.Tensor) -> torch.Tensor:
        """Return the loss, a scalar; ``input`` (B, N, X, Y[, Z]) logits, ``target`` (B, 1 or more, X, Y[, Z])."""
        probability, foreground = foreground_probability(input), foreground_mask(target)
        return soft_jaccard_loss(probability, foreground, _summed(probability, self.reduction)).mean()


def soft_jaccard_loss(probability: torch.Tensor, foreground: torch.Tensor, dim: tuple[int, ...]) -> torch.Tensor:
    """Return eq. 14 with the sums over ``dim``; 1 where there is no foreground, whatever the probability."""
    intersection = (probability * foreground).sum(dim)
    union = (foreground + probability * (1 - foreground)).sum(dim)
    return 1 - intersection / union.clamp(min=SMALLEST_UNION)


def _summed(values: torch.Tensor, reduction: str) -> tuple[int, ...]:
    """Axes of (B, X, Y[, Z]) over which the sums run: all of them, or X and Y."""
    return tuple(range(values.ndim)) if reduction == "batch" else (1, 2)
