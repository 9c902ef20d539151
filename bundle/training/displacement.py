"""Smooth random displacements that deform a patch."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from bundle.rendering.fields import control_count, spline_basis, spline_field


def random_displacement(
    random: np.random.RandomState, size: Sequence[int], control_spacing: float, sigma: float
) -> Tensor:
    """Return the displacement of each voxel (X, Y, Z, 3), in voxels: a cubic B-spline over normal control values.

    Args:
        random: where the control values come from.
        size: (X, Y, Z) voxels.
        control_spacing: voxels between control values.
        sigma: standard deviation of the control values, in voxels; 0 displaces nothing.
    """
    counts = [control_count(n, control_spacing) for n in size]
    control = torch.from_numpy(random.normal(0.0, sigma, size=(3, *counts))).float()
    bases = [spline_basis(torch.arange(n), control_spacing) for n in size]
    return torch.stack([spline_field(values, bases) for values in control], dim=-1)
