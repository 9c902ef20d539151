"""Partial volume: how much of a voxel lies on the inner side of a surface."""

from __future__ import annotations

from torch import Tensor


def share_inside(depth_mm: Tensor, spacing_mm: float) -> Tensor:
    """0 outside (``depth_mm`` below zero), 1 inside, between over one voxel of ``spacing_mm`` about the surface."""
    return (depth_mm / spacing_mm + 0.5).clamp(0, 1)
