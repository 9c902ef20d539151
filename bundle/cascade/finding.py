"""When a mask is a finding: what the networks see of the same voxels, and whether that is enough."""

from __future__ import annotations

from dataclasses import dataclass

import torch


@dataclass
class Views:
    """What the networks say of the same voxels: probabilities (X, Y, Z), None where nobody was asked.

    Args:
        voxel_ml: volume of one.
        threshold: least probability of a mask.
        fine: the segmenter's.
        coarse: the localizer's.
        again: the segmenter's at a second look.
    """

    voxel_ml: float
    threshold: float
    fine: torch.Tensor
    coarse: torch.Tensor | None = None
    again: torch.Tensor | None = None

    @property
    def volume_ml(self) -> float:
        """Volume of the segmenter's mask."""
        return int((self.fine >= self.threshold).sum()) * self.voxel_ml

    @property
    def agreed_ml(self) -> float:
        """Volume of what is in the masks of all that were asked."""
        agreed = self.fine >= self.threshold
        for other in (self.coarse, self.again):
            if other is not None:
                agreed &= (other >= self.threshold).to(agreed.device)
        return int(agreed.sum()) * self.voxel_ml


@dataclass(frozen=True)
class Needed:
    """What makes a mask a finding.

    Args:
        volume_ml: it has more than that.
        agreement_ml: all networks agree on more than that; 0 does not ask, nor is a mask asked that has the
            segmenter's word alone.
    """

    volume_ml: float
    agreement_ml: float = 0.0

    def doubt_of_volume(self, views: Views) -> str:
        """Return why the segmenter's mask is too small, nothing if it isn't."""
        volume_ml = views.volume_ml
        if volume_ml > self.volume_ml:
            return ""
        return f"the segmenter found {volume_ml:.1f} ml of pancreas, more than {self.volume_ml:g} ml are needed"

    def doubt_of_agreement(self, views: Views) -> str:
        """Return why the networks agree on too little, nothing if they don't."""
        if self.agreement_ml == 0 or views.coarse is None:
            return ""
        agreed_ml = views.agreed_ml
        if agreed_ml > self.agreement_ml:
            return ""
        asked = "localizer and segmenter" if views.again is None else "localizer, segmenter and its second look"
        return f"{asked} agree on {agreed_ml:.1f} ml of pancreas only, more than {self.agreement_ml:g} ml are needed"
