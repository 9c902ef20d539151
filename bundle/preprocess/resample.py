"""Separable resampling between grids over the same piece of the patient (voxel edges aligned)."""

from __future__ import annotations

import torch

from bundle.geometry import Size

_SLAB = 32  # rows converted to float at a time, so that a large int16 scan is never copied whole


def resample(volume: torch.Tensor, size: Size) -> torch.Tensor:
    """Return ``volume`` (C, X, Y, Z) on the grid of ``size`` voxels over the same piece, as float32.

    Linear interpolation where an axis gains voxels; where it loses them the triangle widens to the new voxel, so that
    nothing is skipped (anti-aliasing). A constant volume stays constant; values never leave the range of the input.
    """
    weights = [_weights(n, m, volume.device) for n, m in zip(volume.shape[1:], size)]
    slabs = []
    for slab in volume.split(_SLAB, dim=1):
        values = slab.to(torch.float32)
        if weights[2] is not None:
            values = values @ weights[2].T
        if weights[1] is not None:
            values = weights[1] @ values
        slabs.append(values)
    values = torch.cat(slabs, dim=1)
    if weights[0] is not None:
        values = torch.einsum("ij,cjyz->ciyz", weights[0], values)
    return values


def resample_label(label: torch.Tensor, size: Size) -> torch.Tensor:
    """Return an integer ``label`` (1, X, Y, Z) on another grid: per voxel the value with the largest linear share.

    Smoother than nearest neighbour, with the same set of values; ties go to the smaller value.
    """
    best_share = torch.full((1, *size), -1.0, device=label.device)
    best_value = torch.zeros((1, *size), dtype=label.dtype, device=label.device)
    for value in label.unique():
        share = resample(label == value, size)
        better = share > best_share
        best_share = torch.where(better, share, best_share)
        best_value[better] = value
    return best_value


def _weights(length: int, new_length: int, device: torch.device) -> torch.Tensor | None:
    """Return the (new_length, length) matrix that resamples one axis, or None where nothing changes."""
    if length == new_length:
        return None
    step = length / new_length
    centre = (torch.arange(new_length, device=device, dtype=torch.float64) + 0.5) * step - 0.5
    # Beyond the outermost voxel centres the outermost voxel goes on, as with edge padding.
    centre = centre.clamp(0, length - 1) if step < 1 else centre
    index = torch.arange(length, device=device, dtype=torch.float64)
    weights = (1 - (index - centre[:, None]).abs() / max(step, 1.0)).clamp(min=0)
    return (weights / weights.sum(dim=1, keepdim=True)).to(torch.float32)
