"""A stage of the cascade as an inferer, so that training validates a network as the cascade will run it."""

from __future__ import annotations

from typing import Any

import torch
from monai.inferers import Inferer

from bundle.cascade.stage import Stage


class StageInferer(Inferer):
    """The windows, the precision and the activation of a stage, on input that is cropped, resampled and scaled already.

    Args:
        stage: of the cascade.
    """

    def __init__(self, stage: Stage) -> None:
        super().__init__()
        self.stage = stage

    def __call__(self, inputs: torch.Tensor, network: Any, *args: Any, **kwargs: Any) -> torch.Tensor:
        """Return the probability (1, 1, X, Y, Z) of the first class that the stage keeps."""
        return self.stage.infer(inputs, network)[self.stage.head][:, :1]
