"""Cross entropy in which the organ and all else weigh the same, which Cai et al. 2018 compare with."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import nn
from torch.nn.functional import logsigmoid

from bundle.losses.foreground import Output, foreground_mask
from bundle.losses.jaccard import REDUCTIONS


class BalancedCrossEntropyLoss(nn.Module):
    r""":math:`-\frac{1}{|Y|} (\beta \sum_{Y_+} \log \hat y + (1 - \beta) \sum_{Y_-} \log(1 - \hat y))` of class 1.

    :math:`\beta = |Y_-| / |Y|`. Xie and Tu 2015, eq. 2 (https://arxiv.org/abs/1504.06375), which Cai et al. 2018 call
    CBCE. They sum over the pixels, we take the mean, so that the learning rate doesn't depend on the size of a patch.
    Without foreground β is 1 and the loss 0, whatever is found there; therefore β is that of the whole batch by
    default, theirs that of each image.

    Args:
        reduction: β of the whole ``batch``, or of each axial ``slice``.
    """

    def __init__(self, reduction: str = "batch") -> None:
        super().__init__()
        if reduction not in REDUCTIONS:
            raise ValueError(f"reduction must be one of {REDUCTIONS}, got {reduction!r}")
        self.reduction = reduction

    def forward(self, input: Output, target: torch.Tensor) -> torch.Tensor:
        """Return the loss, a scalar; ``input`` (B, N, X, Y[, Z]) logits, ``target`` (B, 1 or more, X, Y[, Z])."""
        logits, foreground = _foreground_logits(input), foreground_mask(target)
        share = foreground.mean() if self.reduction == "batch" else foreground.mean(dim=(1, 2), keepdim=True)
        of_foreground = (1 - share) * foreground * logsigmoid(logits)
        of_background = share * (1 - foreground) * logsigmoid(-logits)
        return -(of_foreground + of_background).mean()


def _foreground_logits(output: Output) -> torch.Tensor:
    """Logits (B, X, Y[, Z]), in float32, of the probability of class 1."""
    logits = (output["pred"] if isinstance(output, Mapping) else output).float()
    if logits.shape[1] == 1:
        return logits[:, 0]
    others = torch.cat([logits[:, :1], logits[:, 2:]], dim=1)
    return logits[:, 1] - others.logsumexp(dim=1)
