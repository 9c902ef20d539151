"""Loss of where the organ lies in each axial slice."""

from __future__ import annotations

import torch
from torch import nn

from bundle.losses.foreground import Output, foreground_mask, foreground_probability

EPSILON = 1e-5


class CentreLoss(nn.Module):
    r"""Distance in voxels between the centres of mass of truth and prediction, summed over the axial slices.

    :math:`L = \sum_d |f(Y_d) - f(\hat Y_d)|_1` with :math:`f(Y_d) = \frac{1}{\zeta_d}\sum_{u,v} (u,v)\,Y_d(u,v)` and
    :math:`\zeta_d = \sum_{u,v} Y_d(u,v)` (Zhao 2019, sec. 2.3). As printed, the paper's :math:`\zeta` is the numerator
    itself, which would make f a constant; the norm is not named. Slices lie along Z, the last axis.

    The prediction enters as probability. Slices without truth are skipped, as their centre is undefined: a scan without
    the organ costs 0. ε = 1e-5 in the prediction's ζ acts on coordinates counted from the true centre, so that a slice
    in which next to nothing is predicted is drawn nowhere (counted from 0 it would be drawn away from the corner).

    The mean over the batch. According to the paper (sec. 3.4) the term speeds up training and leaves isolated false
    positives.
    """

    def forward(self, input: Output, target: torch.Tensor) -> torch.Tensor:
        """Return the loss, a scalar; ``input`` (B, N, X, Y, Z) logits, ``target`` (B, 1, X, Y, Z) class indices."""
        probability, mask = foreground_probability(input), foreground_mask(target)
        distance = sum(_distance(probability.sum(dim=other), mask.sum(dim=other)) for other in (1, 2))
        present = mask.sum(dim=(1, 2)) > 0
        return (torch.as_tensor(distance) * present).sum(dim=1).mean()


def _distance(mass: torch.Tensor, true_mass: torch.Tensor) -> torch.Tensor:
    """Return the distance (B, Z) between the centres of two masses along an axis of N voxels, (B, N, Z) each."""
    index = torch.arange(mass.shape[1], device=mass.device, dtype=mass.dtype)[:, None]
    true_centre = (index * true_mass).sum(dim=1, keepdim=True) / true_mass.sum(dim=1, keepdim=True).clamp(min=1)
    return ((index - true_centre) * mass).sum(dim=1).abs() / (mass.sum(dim=1) + EPSILON)
