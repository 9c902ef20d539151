"""A weighted sum over the heads of a network."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import nn

from bundle.losses.foreground import Output

DEEP_SUPERVISION = {"pred": 1.0, "aux1": 0.2, "aux2": 0.4}


class HeadsLoss(nn.Module):
    r"""Sum of losses over the heads of a network, :math:`L = \sum_h w_h L_h`.

    The default weights are those of deep supervision in Zhu 2018, eq. 3 and sec. 3.4; the paper's weight decay is the
    optimizer's.

    Args:
        losses: one loss for every head, or one per head by name; each is called with the head's output alone.
        weights: by head. A head that has none is an error, not a head without cost. Weights of heads that the network
            doesn't return change nothing: without deep supervision, or outside training, there may be ``pred`` alone.
    """

    def __init__(
        self, losses: nn.Module | Mapping[str, nn.Module], weights: Mapping[str, float] | None = None
    ) -> None:
        super().__init__()
        self.weights = dict(DEEP_SUPERVISION if weights is None else weights)
        by_head = dict(losses) if isinstance(losses, Mapping) else {head: losses for head in self.weights}
        if by_head.keys() != self.weights.keys():
            received = f"{sorted(by_head)} and {sorted(self.weights)}"
            raise ValueError(f"'losses' and 'weights' must name the same heads, got {received}")
        self.losses = nn.ModuleDict(by_head)

    def set_epoch(self, epoch: int) -> None:
        """Tell those of the losses that have a schedule which epoch it is, 0 being the first."""
        for loss in self.losses.values():
            set_epoch = getattr(loss, "set_epoch", None)
            if set_epoch is not None:
                set_epoch(epoch)

    def forward(self, input: Output, target: torch.Tensor) -> torch.Tensor:
        """Return the loss, a scalar.

        Args:
            input: outputs by head, (B, N, X, Y, Z) each; a tensor counts as ``pred``.
            target: what the losses take.
        """
        outputs = input if isinstance(input, Mapping) else {"pred": input}
        unknown = sorted(outputs.keys() - self.weights.keys())
        if unknown:
            raise ValueError(f"every head needs a weight, 0 if it shall not count; got none for {unknown}")
        terms = [self.weights[head] * self.losses[head](output, target) for head, output in outputs.items()]
        return torch.stack(terms).sum()
