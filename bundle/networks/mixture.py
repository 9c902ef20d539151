"""A learned average of probability maps, from logits to logits."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn
from torch.nn.functional import logsigmoid


class ProbabilityMixture(nn.Module):
    r"""The logits of :math:`\sum_k w_k \sigma(u_k)`, with learned weights :math:`w = \mathrm{softmax}(s)`.

    Cai et al. 2018, eq. 3 and 10, which add probabilities with learned weights and say nothing of their range. Ours
    are positive and add up to one, so that the result is a probability, and equal at first. The sum is formed from
    logarithms: losses that want logits get exact ones, however sure the maps are.

    Args:
        count: maps to average, at most.
    """

    def __init__(self, count: int) -> None:
        super().__init__()
        # A parameter each, so that weights of fewer maps fit a mixture of more by their names.
        self.scores = nn.ParameterList(torch.zeros(()) for _ in range(count))

    def forward(self, logits: Sequence[torch.Tensor]) -> torch.Tensor:
        """Return float32 logits of the shape of each of ``logits``; of fewer maps than ``count``, the first count."""
        weights = torch.stack(list(self.scores)[: len(logits)]).log_softmax(dim=0)
        maps = torch.stack([values.float() for values in logits])
        weights = weights.reshape(-1, *[1] * (maps.ndim - 1))
        log_foreground = (logsigmoid(maps) + weights).logsumexp(dim=0)
        log_background = (logsigmoid(-maps) + weights).logsumexp(dim=0)
        return log_foreground - log_background
