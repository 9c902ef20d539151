"""Sampling of the painted grid on the scan's grid.

Every axis is resampled by one small matrix, which holds interpolation, blur and slice averaging at once: the painted
grid is coarse, so three matrix products give a 512 x 512 x 120 scan within seconds on one core.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from scipy import ndimage
from torch import Tensor

from bundle.rendering.scanner.grid import ScanGrid

Kernel = tuple[list[float], list[float]]
"""A point spread as offsets in mm and their weights, which sum to 1."""

_SLICES_AT_ONCE = 16


def sample_image(density: Tensor, spacing_mm: float, grid: ScanGrid, blur_mm: float, motion_mm: float) -> Tensor:
    """Return ``density`` (Z, Y, X), painted HU above air, on the scan's grid, float32.

    Args:
        density: the painted body.
        spacing_mm: of ``density``.
        grid: the scan's.
        blur_mm: standard deviation of the blur in the plane.
        motion_mm: distance of the double contour, up and down the plane.
    """
    blur = gaussian(blur_mm)
    slices = sampling_matrix(grid.z_mm, spacing_mm, len(density), slice_average(grid.thickness_mm), replicate=True)
    rows = sampling_matrix(grid.y_mm, spacing_mm, density.shape[1], _seen_twice(blur, motion_mm))
    columns = sampling_matrix(grid.x_mm, spacing_mm, density.shape[2], blur)
    return _resample(density, slices, rows, columns)


def sample_label(label: Tensor, spacing_mm: float, grid: ScanGrid) -> Tensor:
    """Return the class of largest share around each point of the grid, some slices at a time to save memory."""
    smooth = gaussian(0.5 * spacing_mm)
    slices = sampling_matrix(grid.z_mm, spacing_mm, len(label), slice_average(grid.thickness_mm), replicate=True)
    rows = sampling_matrix(grid.y_mm, spacing_mm, label.shape[1], smooth)
    columns = sampling_matrix(grid.x_mm, spacing_mm, label.shape[2], smooth)
    boxes = ndimage.find_objects(label.cpu().numpy())
    result = label.new_zeros(len(slices), len(rows), len(columns))
    for start in range(0, len(slices), _SLICES_AT_ONCE):
        chunk = slice(start, start + _SLICES_AT_ONCE)
        result[chunk] = _largest_class(label, boxes, slices[chunk], rows, columns)
    return result


def sampling_matrix(
    positions_mm: Tensor, spacing_mm: float, count: int, kernel: Kernel, replicate: bool = False
) -> Tensor:
    """Return (positions, count) weights: linear interpolation averaged over a kernel.

    Beyond the painted grid there is air (rows sum to less than 1), or with ``replicate`` its last slice.
    """
    centres = torch.arange(count, device=positions_mm.device, dtype=torch.float32)
    matrix = positions_mm.new_zeros(len(positions_mm), count)
    for offset_mm, weight in zip(*kernel, strict=True):
        at = (positions_mm + offset_mm) / spacing_mm - 0.5
        at = at.clamp(0, count - 1) if replicate else at
        matrix += weight * (1 - (at[:, None] - centres).abs()).clamp_(min=0)
    return matrix


def gaussian(sigma_mm: float) -> Kernel:
    """A Gaussian out to 2.5 standard deviations."""
    steps = [i / 2 for i in range(-5, 6)]
    weights = [math.exp(-0.5 * s * s) for s in steps]
    return [s * sigma_mm for s in steps], [w / sum(weights) for w in weights]


def slice_average(thickness_mm: float) -> Kernel:
    """Equal weights over the thickness of a slice."""
    count = max(3, 2 * math.ceil(thickness_mm) + 1)
    return [thickness_mm * ((i + 0.5) / count - 0.5) for i in range(count)], [1 / count] * count


def _seen_twice(kernel: Kernel, shift_mm: float) -> Kernel:
    """The kernel and a weaker copy beside it, as by a breath during the rotation."""
    if shift_mm == 0:
        return kernel
    offsets, weights = kernel
    return offsets + [o + shift_mm for o in offsets], [0.62 * w for w in weights] + [0.38 * w for w in weights]


def _resample(volume: Tensor, slices: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
    """(Z, Y, X) to the grid of the matrices; slices first, as they are few."""
    thick = (slices @ volume.reshape(len(volume), -1)).reshape(len(slices), *volume.shape[1:])
    return rows @ (thick @ columns.T)


def _largest_class(label: Tensor, boxes: list[Any], slices: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
    shape = (len(slices), len(rows), len(columns))
    winner = label.new_zeros(shape)
    best, total = columns.new_zeros(shape), columns.new_zeros(shape)
    for value, box in enumerate(boxes, start=1):
        if box is None:
            continue
        to = [_rows_touched(matrix[:, inside]) for matrix, inside in zip((slices, rows, columns), box, strict=True)]
        if any(span is None for span in to):
            continue
        at = tuple(to)
        parts = [matrix[span, inside] for matrix, span, inside in zip((slices, rows, columns), to, box, strict=True)]
        share = _resample((label[box] == value).to(columns.dtype), *parts)
        ahead = share > best[at]
        winner[at] = torch.where(ahead, value, winner[at])
        best[at] = torch.maximum(best[at], share)
        total[at] += share
    return torch.where(1 - total > best, 0, winner)


def _rows_touched(matrix: Tensor) -> slice | None:
    rows = (matrix > 1e-6).any(1).nonzero()
    return slice(int(rows[0]), int(rows[-1]) + 1) if len(rows) else None
