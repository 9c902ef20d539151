"""Cross entropy in which rare classes weigh more and voxels outside the candidate region nothing."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from bundle.losses.foreground import Output
from bundle.networks.valid_unet import central

IGNORED = 255
"""Class index of a voxel that counts for nothing."""


class WeightedCrossEntropyLoss(nn.Module):
    r"""Class-weighted cross entropy, :math:`-\sum_x \lambda_{k(x)} \log p_{k(x)}(x)\, /\, \sum_x \lambda_{k(x)}`.

    Roth 2018, sec. 2.1, eq. 3 and 4; the weights are those of :func:`class_weights`. Departures: eq. 4 divides by the
    number of voxels, which is ``normaliser="voxels"``; the authors' code divides by the sum of the weights, which its
    learning rate goes with. A batch of several is their mean, where the authors take one at a time.

    Args:
        normaliser: ``weights``, or ``voxels``, those that are not ignored.
    """

    def __init__(self, normaliser: str = "weights") -> None:
        super().__init__()
        if normaliser not in ("weights", "voxels"):
            raise ValueError(f"normaliser must be 'weights' or 'voxels', got {normaliser!r}")
        self.normaliser = normaliser

    def forward(self, input: Output, target: Tensor) -> Tensor:
        """Return the loss, a scalar; 0 where every voxel is ignored.

        Args:
            input: logits (B, N, X, Y, Z), one for every class.
            target: (B, 1 or 2, X', Y', Z'), no smaller; the logits belong to its middle. First channel: class indices,
                :data:`IGNORED` outside the candidate region. Second: weights of the voxels by the whole case, as
                :class:`~bundle.training.bspline.RandBSplineDeformd` adds them; without it, by the whole target.
        """
        logits = (input["pred"] if isinstance(input, Mapping) else input).float()
        label = central(target[:, 0].long(), logits.shape[2:])
        weight = central(_weights(target), logits.shape[2:])
        cost = cross_entropy(logits, label, ignore_index=IGNORED, reduction="none")
        total = weight if self.normaliser == "weights" else (label != IGNORED).float()
        return ((weight * cost).sum(dim=(1, 2, 3)) / total.sum(dim=(1, 2, 3)).clamp(min=1e-6)).mean()


def class_weights(label: Tensor) -> Tensor:
    """Return λ_k = (1 - N_k / N_C) / (K - 1), float32 (256,), for the class indices of one case, of any shape.

    N_k of the N_C voxels that are not ignored have class k; K classes are present, whose weights add up to 1. The
    weights of others and of :data:`IGNORED` are 0. One class alone has weight 1. Without any voxel that counts all are
    0. That classes are counted case by case, and those present only, is the authors' code; the text doesn't say.
    """
    counts = torch.bincount(label.flatten().long(), minlength=IGNORED + 1)
    counts[IGNORED] = 0
    present = counts > 0
    share = counts / counts.sum().clamp(min=1)
    others = present.sum() - 1
    return torch.where(others > 0, (1 - share) / others.clamp(min=1), 1.0) * present


def _weights(target: Tensor) -> Tensor:
    """Weights (B, X, Y, Z) of the voxels of a target."""
    if target.shape[1] > 1:
        return target[:, 1].float()
    return torch.stack([class_weights(label)[label] for label in target[:, 0].long()])
