"""Another patient's pancreas in a body: more shapes of the gland than there are whole bodies."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from scipy import ndimage
from torch import Tensor
from torch.nn.functional import grid_sample

from bundle.rendering.anatomy import Anatomy
from bundle.rendering.draws import bounded_normal, uniform
from bundle.rendering.tissues import Tissue

TRIES = 12
MAX_LOST = 0.35
"""Share of the new gland that other organs may cut away; where it would be more, the body keeps its own gland."""

_GIVES_WAY = (Tissue.PANCREAS, Tissue.FAT, Tissue.OTHER_SOFT)
_SHIFT_MM = 6.0
_ROTATION_RAD = 0.10
_REACH_MM = 30.0
_MIN_PIECE = 0.05


def transplant(anatomy: Anatomy, gland: Anatomy, generator: torch.Generator) -> Anatomy:
    """``anatomy`` with the pancreas of ``gland`` in place of its own, both in RAS order.

    The new gland is moved to the centroid of the old one and stretched part of the way towards its second moments,
    then shifted and turned a little; of ``TRIES`` such placements the one stays that the neighbouring organs cut least.
    Organs and vessels keep their place, fat gives way and fills what is left of the old gland.

    Returns:
        The new anatomy, its patient named "<body>+<gland>"; ``anatomy`` itself if every placement loses more than
        ``MAX_LOST`` of the gland, or if either has no pancreas.
    """
    old, new = (_gland_of(a) for a in (anatomy, gland))
    if not old.any() or not new.any():
        return anatomy
    box = _box_around(old, round(_REACH_MM / anatomy.spacing_mm))
    free = torch.isin(anatomy.tissues[box], torch.tensor(_GIVES_WAY, dtype=torch.uint8, device=old.device))
    depth, depth_start = _signed_depth(new)
    matched = _moments_matched(old, new, anatomy.spacing_mm, gland.spacing_mm)
    best, least_lost = None, MAX_LOST
    for _ in range(TRIES):
        linear, offset = _varied(matched, generator, anatomy.spacing_mm, gland.spacing_mm)
        placed = _place(depth, depth_start, linear, offset, box)
        lost = 1 - float((placed & free).sum()) / max(1, int(placed.sum()))
        if lost < least_lost:
            best, least_lost = placed & free, lost
    if best is None:
        return anatomy
    tissues = anatomy.tissues.clone()
    region = tissues[box]
    region[old[box]] = Tissue.FAT
    region[_without_crumbs(best)] = Tissue.PANCREAS
    return replace(anatomy, tissues=tissues, patient=f"{anatomy.patient}+{gland.patient}")


def _gland_of(anatomy: Anatomy) -> Tensor:
    return anatomy.tissues == Tissue.PANCREAS


def _box_around(mask: Tensor, margin: int) -> tuple[slice, ...]:
    voxels = mask.nonzero()
    low, high = voxels.amin(dim=0) - margin, voxels.amax(dim=0) + 1 + margin
    return tuple(slice(max(0, int(a)), min(n, int(b))) for a, b, n in zip(low, high, mask.shape, strict=True))


def _signed_depth(mask: Tensor, margin: int = 4) -> tuple[Tensor, Tensor]:
    """Distance to the surface in voxels, positive inside, on a crop around the gland, and where the crop begins."""
    box = _box_around(mask, margin)
    inside = np.pad(mask[box].cpu().numpy(), 1)
    depth = ndimage.distance_transform_edt(inside) - ndimage.distance_transform_edt(~inside)
    start = torch.tensor([b.start - 1 for b in box], dtype=torch.float32)
    return torch.from_numpy(depth.astype(np.float32)).to(mask.device), start.to(mask.device)


def _moments_matched(old: Tensor, new: Tensor, old_mm: float, new_mm: float) -> tuple[Tensor, Tensor, Tensor]:
    """Linear map in mm from the new gland to the old one's second moments, and both centroids in voxels."""
    (old_centre, old_spread), (new_centre, new_spread) = _moments(old, old_mm), _moments(new, new_mm)
    return _power(old_spread, 0.5) @ _power(new_spread, -0.5), old_centre, new_centre


def _moments(mask: Tensor, spacing_mm: float) -> tuple[Tensor, Tensor]:
    voxels = mask.nonzero().double()
    return voxels.mean(dim=0), torch.cov(voxels.T) * spacing_mm**2 + torch.eye(3, device=mask.device).double()


def _power(symmetric: Tensor, exponent: float) -> Tensor:
    values, vectors = torch.linalg.eigh(symmetric)
    return vectors @ torch.diag(values**exponent) @ vectors.T


def _varied(
    matched: tuple[Tensor, Tensor, Tensor], generator: torch.Generator, old_mm: float, new_mm: float
) -> tuple[Tensor, Tensor]:
    """A random placement: ``linear`` and ``offset`` take voxels of the body to voxels of the gland's map."""
    linear, old_centre, new_centre = matched
    share = uniform(generator, 0.3, 1.0)
    eye = torch.eye(3, dtype=linear.dtype, device=linear.device)
    size = torch.linalg.det(linear) ** (1 / 3)
    linear = share * linear + (1 - share) * size ** uniform(generator, 0, 1) * eye
    x, y, z = (bounded_normal(generator, _ROTATION_RAD) for _ in range(3))
    turn = torch.linalg.matrix_exp(torch.tensor([[0, -z, y], [z, 0, -x], [-y, x, 0]]).to(linear))
    shift_mm = torch.tensor([bounded_normal(generator, _SHIFT_MM / 2) for _ in range(3)]).to(linear)
    to_gland = torch.linalg.inv(turn @ linear) * (old_mm / new_mm)
    return to_gland.float(), (new_centre - to_gland @ (old_centre + shift_mm / old_mm)).float()


def _place(depth: Tensor, depth_start: Tensor, linear: Tensor, offset: Tensor, box: tuple[slice, ...]) -> Tensor:
    """The gland as a mask on the ``box`` of the body."""
    axes = [torch.arange(b.start, b.stop, dtype=torch.float32, device=depth.device) for b in box]
    points = torch.stack(torch.meshgrid(*axes, indexing="ij"), dim=-1) @ linear.T + (offset - depth_start)
    size = torch.tensor(depth.shape, device=depth.device) - 1
    grid = (2 * points / size - 1).flip(-1)
    sampled = grid_sample(depth[None, None], grid[None], padding_mode="border", align_corners=True)[0, 0]
    return sampled > 0


def _without_crumbs(mask: Tensor) -> Tensor:
    """Without pieces of less than ``_MIN_PIECE`` of the largest, which organs cut off."""
    pieces, _ = ndimage.label(mask.cpu().numpy())
    volumes = np.bincount(pieces.ravel())
    volumes[0] = 0
    kept = np.flatnonzero(volumes >= _MIN_PIECE * volumes.max())
    return mask & torch.from_numpy(np.isin(pieces, kept)).to(mask.device)
