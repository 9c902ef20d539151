"""The loss of Xue 2019: voxels right, and the skeleton's heat map right."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import nn
from torch.nn.functional import cross_entropy, mse_loss

from bundle.errors import bad_input
from bundle.losses.foreground import Output


class SkeletonMultitaskLoss(nn.Module):
    r"""Cross entropy and half the mean squared error of the skeleton, :math:`λ_1 L_{CE} + λ_2 \frac12 \mathrm{MSE}`.

    Xue 2019, eqs. 1 to 4. The paper doesn't give the λ, and averages over what it calls subjects; Caffe's Euclidean
    loss, its likely tool, adds up the voxels of a sample, 65 536 in a window. Ours averages over batch and voxels, so
    that the λ keep their meaning when the window changes. An output without the skeleton's head (a network without it,
    or in evaluation) costs cross entropy alone.

    Args:
        lambda_segmentation: λ₁.
        lambda_skeleton: λ₂.
    """

    def __init__(self, lambda_segmentation: float = 1.0, lambda_skeleton: float = 1.0) -> None:
        super().__init__()
        self.lambda_segmentation = lambda_segmentation
        self.lambda_skeleton = lambda_skeleton

    def forward(self, input: Output, target: torch.Tensor) -> torch.Tensor:
        """Return the loss, a scalar.

        Args:
            input: logits (B, N, X, Y, Z), or {"pred": those, "skeleton": (B, 1, X, Y, Z)}.
            target: (B, 2, X, Y, Z), class indices and the skeleton's heat map, which only that head needs. Classes
                beyond N are background.
        """
        outputs = input if isinstance(input, Mapping) else {"pred": input}
        logits, label = outputs["pred"].float(), target[:, 0].long()
        label = torch.where(label < logits.shape[1], label, 0)
        loss = self.lambda_segmentation * cross_entropy(logits, label)
        if "skeleton" not in outputs:
            return loss
        if target.shape[1] < 2:
            remedy = "Add SkeletonTargetd and ConcatItemsd to the training transforms, or choose skeleton 'none'."
            raise bad_input("label", "channel 1 must hold the skeleton to learn", f"{target.shape[1]} channel", remedy)
        return loss + self.lambda_skeleton * 0.5 * mse_loss(outputs["skeleton"][:, 0].float(), target[:, 1].float())
