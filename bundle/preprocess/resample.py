"""Separable resampling between grids over the same piece of the patient (voxel edges aligned)."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from bundle.geometry import Size, tight_box

_SLAB = 32  # rows converted to float at a time, so that a large int16 scan is never copied whole


def resample(volume: torch.Tensor, size: Size) -> torch.Tensor:
    """Return ``volume`` (C, X, Y, Z) on the grid of ``size`` voxels over the same piece, as float32.

    Linear interpolation where an axis gains voxels; where it loses them the triangle widens to the new voxel, so that
    nothing is skipped (anti-aliasing). A constant volume stays constant; values never leave the range of the input.
    """
    return _contract(volume, [_weights(n, m, volume.device) for n, m in zip(volume.shape[1:], size)])


def resample_label(label: torch.Tensor, size: Size) -> torch.Tensor:
    """Return an integer ``label`` (1, X, Y, Z) on another grid: per voxel the value with the largest linear share.

    Smoother than nearest neighbour, with values of the input only; ties go to the smaller value.
    """
    weights = [_weights(n, m, label.device) for n, m in zip(label.shape[1:], size)]
    background_share = torch.ones(size, device=label.device)
    best_share = torch.zeros(size, device=label.device)
    best_value = torch.zeros(size, dtype=label.dtype, device=label.device)
    for value in label.unique():
        mask = label[0] == value
        box = tight_box(mask)
        if value == 0 or box is None:
            continue
        # Only the rows of the weights that reach the organ: the rest of the scan has no share of it.
        rows, parts = zip(*(_reached(w, a, b) for w, a, b in zip(weights, box.start, box.stop)))
        share = _contract(box.crop(mask)[None], parts)[0]
        background_share[rows] -= share
        better = share > best_share[rows]
        best_share[rows] = torch.where(better, share, best_share[rows])
        best_value[rows] = torch.where(better, value, best_value[rows])
    best_value[background_share >= best_share] = 0
    return best_value[None]


def _contract(volume: torch.Tensor, weights: Sequence[torch.Tensor | None]) -> torch.Tensor:
    """Return ``volume`` (C, X, Y, Z) as float32 with each axis multiplied by its matrix, if it has one."""
    x, y, z = weights
    slabs = []
    for slab in volume.split(_SLAB, dim=1):
        values = slab.to(torch.float32)
        values = values if z is None else values @ z.T
        slabs.append(values if y is None else y @ values)
    values = torch.cat(slabs, dim=1)
    return values if x is None else torch.einsum("ij,cjyz->ciyz", x, values)


def _reached(weights: torch.Tensor | None, start: int, stop: int) -> tuple[slice, torch.Tensor | None]:
    """Return which new voxels of an axis the old ones in ``[start, stop)`` reach, and their weights."""
    if weights is None:
        return slice(start, stop), None
    columns = weights[:, start:stop]
    hits = columns.any(dim=1).nonzero()
    rows = slice(int(hits[0]), int(hits[-1]) + 1)
    return rows, columns[rows]


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
