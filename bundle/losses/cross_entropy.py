"""Plain cross entropy in the form that the networks and labels of this bundle have."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import nn
from torch.nn.functional import binary_cross_entropy_with_logits, cross_entropy

from bundle.losses.foreground import Output, foreground_mask


class VoxelCrossEntropyLoss(nn.Module):
    """Mean over all voxels of minus the logarithm of the true class's probability; no class counts more than another.

    Zhu 2018, eq. 1. The paper's is a sum; the mean is our choice, which keeps a learning rate fit for every size of
    patch.
    """

    def forward(self, input: Output, target: torch.Tensor) -> torch.Tensor:
        """Return the loss, a scalar.

        Args:
            input: logits (B, N, X, Y[, Z]), or those under "pred": softmax of several classes, sigmoid of one, class 1.
            target: (B, 1 or more, X, Y[, Z]), class indices in the first channel.
        """
        logits = (input["pred"] if isinstance(input, Mapping) else input).float()
        if logits.shape[1] == 1:
            return binary_cross_entropy_with_logits(logits[:, 0], foreground_mask(target))
        return cross_entropy(logits, target[:, 0].long())
