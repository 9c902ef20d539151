"""Smooth random fields: cubic B-splines over random control values."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

# Root mean square of a cubic B-spline over control values of unit variance, along one axis.
_SPLINE_RMS = 0.479**0.5


def smooth_field(
    shape: Sequence[int], control_spacing: float | Sequence[float], generator: torch.Generator, device: torch.device
) -> Tensor:
    """A float32 field of ``shape`` (X, Y, Z), mean 0 and about unit variance, that varies over ``control_spacing``.

    Args:
        control_spacing: distance of control values in voxels, one for all axes or one each.
    """
    spacings = [control_spacing] * 3 if isinstance(control_spacing, (int, float)) else list(control_spacing)
    counts = [control_count(size, spacing) for size, spacing in zip(shape, spacings, strict=True)]
    control = (torch.randn(counts, generator=generator) / _SPLINE_RMS**3).to(device)
    bases = [spline_basis(torch.arange(n, device=device), s) for n, s in zip(shape, spacings, strict=True)]
    return spline_field(control, bases)


def control_count(size: int, control_spacing: float) -> int:
    """Control values needed to cover ``size`` voxels."""
    return int((size - 1) / control_spacing) + 4


def spline_basis(positions: Tensor, control_spacing: float) -> Tensor:
    """Weights (N, M) of the M control values at N ``positions`` >= 0 in voxels; each row sums to one.

    The first control value lies one control spacing before position 0.
    """
    nodes = positions.to(torch.float32) / control_spacing
    count = control_count(int(positions.max()) + 1, control_spacing)
    distance = (nodes[:, None] + 1 - torch.arange(count, device=positions.device)).abs()
    near = 2 / 3 - distance**2 + distance**3 / 2
    far = (2 - distance).clamp(min=0) ** 3 / 6
    return torch.where(distance < 1, near, far)


def spline_field(control: Tensor, bases: Sequence[Tensor]) -> Tensor:
    """Separable spline with ``control`` values (I, J, K) and one (N, M) basis per axis, as (X, Y, Z)."""
    along_x = torch.einsum("xi,ijk->xjk", bases[0], control)
    along_xy = torch.einsum("yj,xjk->xyk", bases[1], along_x)
    return along_xy @ bases[2].T
