"""Separable resampling between grids over the same piece of the patient (voxel edges aligned)."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from bundle.geometry import Size, tight_box

_SLAB = 32  # rows converted to float at a time, so that a large int16 scan is never copied whole


def resample(volume: torch.Tensor, size: Size, method: str = "linear") -> torch.Tensor:
    """Return ``volume`` (C, X, Y, Z) on the grid of ``size`` voxels over the same piece, as float32.

    A constant volume stays constant; values never leave the range of the input.

    Args:
        volume: any type of numbers.
        size: new numbers of voxels.
        method: ``linear`` interpolates where an axis gains voxels; where it loses them the triangle widens to the new
            voxel, so that nothing is skipped (anti-aliasing). ``mean`` averages over the new voxel. ``nearest`` takes
            the voxel nearest to the new centre, the lower of two: one of every four for a quarter of the voxels.
    """
    return _contract(volume, [_weights(n, m, volume.device, method) for n, m in zip(volume.shape[1:], size)])


def resample_label(label: torch.Tensor, size: Size, method: str = "linear") -> torch.Tensor:
    """Return an integer ``label`` (1, X, Y, Z) on another grid: per voxel the value with the largest share.

    Shares are those of :func:`resample`. Linear ones are smoother than nearest neighbour. The result has values of the
    input only; ties go to the smaller value.
    """
    weights = [_weights(n, m, label.device, method) for n, m in zip(label.shape[1:], size)]
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
    if not len(hits):  # all of them skipped by "nearest"
        return slice(0, 0), columns[:0]
    rows = slice(int(hits[0]), int(hits[-1]) + 1)
    return rows, columns[rows]


def _weights(length: int, new_length: int, device: torch.device, method: str) -> torch.Tensor | None:
    """Return the (new_length, length) matrix that resamples one axis, or None where nothing changes."""
    if method not in _KERNELS:
        raise ValueError(f"method must be one of {sorted(_KERNELS)}, got {method!r}")
    if length == new_length:
        return None
    step = length / new_length
    centre = (torch.arange(new_length, device=device, dtype=torch.float64) + 0.5) * step - 0.5
    # Beyond the outermost voxel centres the outermost voxel goes on, as with edge padding.
    centre = centre.clamp(0, length - 1) if step < 1 else centre
    index = torch.arange(length, device=device, dtype=torch.float64)
    weights = _KERNELS[method](index, centre[:, None], step)
    return (weights / weights.sum(dim=1, keepdim=True)).to(torch.float32)


def _triangle(index: torch.Tensor, centre: torch.Tensor, step: float) -> torch.Tensor:
    return (1 - (index - centre).abs() / max(step, 1.0)).clamp(min=0)


def _overlap(index: torch.Tensor, centre: torch.Tensor, step: float) -> torch.Tensor:
    """How much of each old voxel lies in the new one."""
    return (torch.minimum(index + 0.5, centre + step / 2) - torch.maximum(index - 0.5, centre - step / 2)).clamp(min=0)


def _nearest(index: torch.Tensor, centre: torch.Tensor, step: float) -> torch.Tensor:
    return (index == (centre - 0.5).ceil()).to(index.dtype)


_KERNELS = {"linear": _triangle, "mean": _overlap, "nearest": _nearest}
