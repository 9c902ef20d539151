"""The shipped pipeline with networks that tell tissue by its HU, so that a scan takes a fraction of a second."""

from __future__ import annotations

from typing import Any

import torch

from bundle.segmentation.configuration import CONFIG, read_configuration

# What has a HU of that many and more belongs to the channel; the last one that holds counts.
PANCREAS, LIVER, LEFT_KIDNEY, AORTA = 1, 5, 7, 10
_FROM_HU = ((-40, LIVER), (60, LEFT_KIDNEY), (90, PANCREAS), (150, AORTA), (230, 0))


class TissueByHU(torch.nn.Module):
    """Logits of 14 channels from the second channel of the input, which spans -1000 to 1000 HU."""

    def __init__(self) -> None:
        super().__init__()
        self.sharpness = torch.nn.Parameter(torch.tensor(20.0))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """``x`` (B, 2, X, Y, Z) in [0, 1], the result (B, 14, X, Y, Z)."""
        hu = x[:, 1] * 2000 - 1000
        label = torch.zeros(hu.shape, dtype=torch.long)
        for lowest, channel in _FROM_HU:
            label[hu >= lowest] = channel
        return self.sharpness * torch.nn.functional.one_hot(label, 14).movedim(-1, 1).float()


def pipeline() -> dict[str, Any]:
    """Return configs/inference.json with these networks, and with voxels and windows as coarse as the tiny scans."""
    content = dict(read_configuration(base=CONFIG).get())
    network = {"_target_": "tests.fuzz.stand_in.TissueByHU"}
    content |= {"network": network, "localizer": network, "checkpoint": "", "localizer_checkpoint": ""}
    content["localize_windows"]["roi_size"] = content["segment"]["inferer"]["roi_size"] = [32, 32, 32]
    content["localize"]["spacing_mm"] = content["localize_again"]["spacing_mm"] = [6, 6, 6]
    content["segment"]["spacing_mm"] = [4, 4, 4]
    return content
