"""The loss of both stages: cross entropy and Dice over the classes that a data set annotates."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn
from torch.nn.functional import log_softmax, nll_loss


class MarginalDiceCELoss(nn.Module):
    r"""Cross entropy + mean Dice loss of the present organs + Dice loss of the target organ.

    A data set that annotates only some of the network's classes (pancreas alone, say) says nothing about the others:
    their probabilities are added to the background's before the loss, so that an unannotated stomach is neither
    rewarded nor punished (the marginal loss of Shi et al. 2021, sec. 3.2, https://arxiv.org/abs/2007.03868).

    Dice is computed per sample over the classes present in it, so that the mean over a batch does not depend on how the
    batch is split over processes; a sample without any organ adds cross entropy only.

    Args:
        num_classes: output channels of the network, background first.
        annotated: classes that the data set annotates, background included; all of them by default.
        target: the class whose Dice loss counts once more.
    """

    def __init__(self, num_classes: int, annotated: Sequence[int] | None = None, target: int = 1) -> None:
        super().__init__()
        classes = sorted(set(range(num_classes) if annotated is None else annotated) | {0})
        if target not in classes:
            raise ValueError(f"the target class {target} must be annotated, got {classes}")
        if classes[-1] >= num_classes:
            raise ValueError(f"annotated classes must be below num_classes = {num_classes}, got {classes}")
        self.num_classes = num_classes
        self.classes = classes
        self.target_index = classes.index(target)
        self.marginal = [c for c in range(num_classes) if c == 0 or c not in classes]
        new_index = torch.zeros(num_classes, dtype=torch.long)
        new_index[classes] = torch.arange(len(classes))
        self.new_index: torch.Tensor
        self.register_buffer("new_index", new_index, persistent=False)

    def forward(self, input: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        """Return the loss, a scalar; ``input`` (B, N, X, Y, Z) logits, ``target`` (B, 1, X, Y, Z) class indices."""
        log_probability = self._log_probability(input.float())
        label = self.new_index.to(target.device)[target[:, 0].long()]
        cross_entropy = nll_loss(log_probability, label)
        dice, present = _dice_per_class(log_probability.exp(), label)
        organs = ((1 - dice) * present).sum(dim=1) / present.sum(dim=1).clamp(min=1)
        target_organ = (1 - dice[:, self.target_index - 1]) * present[:, self.target_index - 1]
        return cross_entropy + (organs + target_organ).mean()

    def _log_probability(self, logits: torch.Tensor) -> torch.Tensor:
        log_probability = log_softmax(logits, dim=1)
        if len(self.marginal) == 1:
            return log_probability
        background = log_probability[:, self.marginal].logsumexp(dim=1, keepdim=True)
        return torch.cat([background, log_probability[:, self.classes[1:]]], dim=1)


def _dice_per_class(probability: torch.Tensor, label: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Return (B, N - 1) soft Dice of the organs and whether each is present; background left out."""
    batch, classes = probability.shape[:2]
    flat_label = label.flatten(1)
    # The probability at the true class, added up by class: the intersections without a one-hot copy of the label.
    true_probability = probability.gather(1, label[:, None]).flatten(1)
    intersection = probability.new_zeros(batch, classes).scatter_add(1, flat_label, true_probability)
    count = probability.new_zeros(batch, classes).scatter_add(1, flat_label, torch.ones_like(true_probability))
    dice = 2 * intersection / (probability.flatten(2).sum(dim=2) + count).clamp(min=1e-6)
    return dice[:, 1:], (count[:, 1:] > 0).to(probability.dtype)
