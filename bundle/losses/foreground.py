"""What a loss of the organ against all else needs of a network's output and of the label."""

from __future__ import annotations

from collections.abc import Mapping

import torch

Output = torch.Tensor | Mapping[str, torch.Tensor]
"""Logits (B, N, X, Y, Z), or those under "pred" beside the outputs of other heads."""


def foreground_probability(output: Output) -> torch.Tensor:
    """Return the probability (B, X, Y, Z) of class 1, in float32: sigmoid of one channel, softmax of several."""
    logits = (output["pred"] if isinstance(output, Mapping) else output).float()
    return logits[:, 0].sigmoid() if logits.shape[1] == 1 else logits.softmax(dim=1)[:, 1]


def foreground_mask(target: torch.Tensor) -> torch.Tensor:
    """Return where the first channel of ``target`` (B, 1 or more, X, Y, Z) is class 1, as float32 (B, X, Y, Z).

    Other organs are background, and so are they to :func:`foreground_probability`.
    """
    return (target[:, 0] == 1).float()
