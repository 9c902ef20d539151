"""A patient as a label map of tissues."""

from __future__ import annotations

from dataclasses import dataclass

import torch


@dataclass(frozen=True)
class Anatomy:
    """A label map of one patient on an isotropic grid.

    Args:
        tissues: uint8 (X, Y, Z) in RAS, values of :class:`~bundle.rendering.tissues.Tissue`.
        spacing_mm: edge of a voxel.
        patient: whose anatomy it is; maps of one patient share it, so that they stay on one side of a split.
    """

    tissues: torch.Tensor
    spacing_mm: float
    patient: str
