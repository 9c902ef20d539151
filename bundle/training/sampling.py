"""Values of a volume between its voxels, and random voxels of it, at little cost for large volumes."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import grid_sample

from bundle.geometry import Box, as_size


def sample_at(volume: Tensor, points: Tensor, mode: str, outside: float | None = None) -> Tensor:
    """Return the values of ``volume`` at ``points``, float32 (C, ...).

    Only the part of the volume that the points need is converted to float: a patch of a scan is a small part of it.

    Args:
        volume: (C, X, Y, Z), of any type.
        points: (I, J, K, 3) voxel coordinates.
        mode: ``bilinear`` or ``nearest``, see ``grid_sample``.
        outside: the value beyond the volume; None repeats its edges.
    """
    box = _box_of(points, volume.shape[-3:])
    shift = outside or 0.0  # what lies outside can be set to zero only
    values = box.crop(volume).float() - shift
    grid = (2 * (points - torch.tensor(box.start)) + 1) / torch.tensor(box.size) - 1
    padding = "border" if outside is None else "zeros"
    sampled = grid_sample(values[None], grid.flip(-1)[None], mode=mode, padding_mode=padding, align_corners=False)
    return sampled[0] + shift


def random_voxel(mask: np.ndarray, random: np.random.RandomState) -> np.ndarray:
    """Return the (X, Y, Z) index of a true voxel of ``mask``, of which there must be one, each as likely as any."""
    inside = np.flatnonzero(mask)
    return np.asarray(np.unravel_index(inside[random.randint(len(inside))], mask.shape))


def _box_of(points: Tensor, shape: torch.Size) -> Box:
    """The part of a volume of ``shape`` between whose voxels the points lie, one voxel at least."""
    sizes = torch.tensor(shape)
    flat = points.reshape(-1, 3)
    start = flat.amin(0).floor().long().clamp(min=0).minimum(sizes - 1)
    stop = (flat.amax(0).floor().long() + 2).minimum(sizes).maximum(start + 1)
    return Box(as_size(start.tolist()), as_size(stop.tolist()))
