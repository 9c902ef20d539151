"""A sum of losses, some of which end during training."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn

from bundle.losses.foreground import Output


class ScheduledSum(nn.Module):
    """Weighted sum of losses, each up to an epoch of its own.

    Zhao 2019, eq. 1: Dice + γ · centre, γ = 1e-3 in the first 50 epochs and 0 from then on, which is
    ``ScheduledSum([SudreDiceLoss(), CentreLoss()], [1, 1e-3], [None, 50])``.

    Args:
        terms: losses ``loss(input, target)``.
        weights: one per term.
        until_epoch: one per term, how many epochs it counts; None is always, as at least one must. A term whose time
            is over is not computed. By default all count always.
    """

    def __init__(
        self,
        terms: Sequence[nn.Module],
        weights: Sequence[float],
        until_epoch: Sequence[int | None] | None = None,
    ) -> None:
        super().__init__()
        self.terms = nn.ModuleList(terms)
        self.all_weights = tuple(weights)
        self.until_epoch = (None,) * len(terms) if until_epoch is None else tuple(until_epoch)
        if not len(self.terms) == len(self.all_weights) == len(self.until_epoch):
            counts = (len(self.terms), len(self.all_weights), len(self.until_epoch))
            raise ValueError(f"each term needs a weight and an until_epoch, got {counts}")
        if None not in self.until_epoch:
            raise ValueError(f"one term must count always (until_epoch None), got {self.until_epoch}")
        self.set_epoch(0)

    def set_epoch(self, epoch: int) -> None:
        """From now on give the loss of ``epoch``, the first of which is 0."""
        self.weights = tuple(
            weight if until is None or epoch < until else 0.0
            for weight, until in zip(self.all_weights, self.until_epoch)
        )

    def forward(self, input: Output, target: torch.Tensor) -> torch.Tensor:
        """Return the loss, a scalar; the arguments are those of the terms."""
        losses = [weight * term(input, target) for term, weight in zip(self.terms, self.weights) if weight]
        return torch.stack(losses).sum()
