"""Deform an anatomy into that of another body: rotation, scale and two scales of elastic deformation."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from bundle.rendering.anatomy import Anatomy
from bundle.rendering.draws import uniform
from bundle.rendering.fields import control_count, spline_basis, spline_field
from bundle.rendering.tissues import Tissue

MAX_ROTATION_DEG = 5.0
SCALE_RANGE = (0.70, 1.23)
AXIS_SCALE = 0.08
# (distance of control points, range of the largest displacement), both in mm.
ELASTIC_SCALES_MM = ((90.0, (6.0, 20.0)), (30.0, (1.5, 6.0)))
MIN_JACOBIAN = 0.25
BORDER_MM = 9.0
_SLAB = 32


def deform(anatomy: Anatomy, generator: torch.Generator, strength: float = 1.0) -> Anatomy:
    """A randomly deformed copy of ``anatomy`` at the same spacing, on a grid that fits the new body.

    Source of the ranges: SynthSeg-style rendering, tuned on abdominal CT. The displacement never folds: it is shrunk
    until its Jacobian determinant is at least ``MIN_JACOBIAN`` everywhere. Beyond the grid the outermost voxels go on.

    Args:
        strength: 0 leaves the anatomy as it is, 1 is the full range of every deformation.
    """
    if strength == 0:
        return anatomy
    to_source = _random_affine(generator, strength)
    elastic = _random_elastic(anatomy, to_source, generator, strength)
    return Anatomy(_crop_air(_warp(anatomy.tissues, to_source, elastic), anatomy), anatomy.spacing_mm, anatomy.patient)


class _Elastic:
    """Displacement in voxels on an output grid of ``shape``, as a sum of splines.

    ``layers`` holds (control spacing in voxels, control values (3, I, J, K)).
    """

    def __init__(self, shape: Sequence[int], layers: Sequence[tuple[float, Tensor]]) -> None:
        self.shape = tuple(shape)
        self.layers = list(layers)

    def scaled(self, factor: float) -> _Elastic:
        return _Elastic(self.shape, [(spacing, control * factor) for spacing, control in self.layers])

    def at(self, axes: Sequence[Tensor]) -> Tensor:
        """Displacement (3, A, B, C) at the grid positions named by three index vectors."""
        total = torch.zeros(())
        for spacing, control in self.layers:
            bases = [_basis_rows(axis, size, spacing) for axis, size in zip(axes, self.shape, strict=True)]
            total = total.to(control.device) + torch.stack([spline_field(c, bases) for c in control])
        return total


def _basis_rows(positions: Tensor, size: int, spacing: float) -> Tensor:
    return spline_basis(torch.arange(size, device=positions.device), spacing)[positions]


def _random_affine(generator: torch.Generator, strength: float) -> Tensor:
    """3x3 matrix taking output offsets to source offsets, both from the grid centre."""
    limit = math.radians(MAX_ROTATION_DEG) * strength
    rotation = torch.linalg.multi_dot([_rotation(axis, uniform(generator, -limit, limit)) for axis in range(3)])
    common = uniform(generator, *SCALE_RANGE) ** strength
    scales = [common * (1 + uniform(generator, -AXIS_SCALE, AXIS_SCALE) * strength) for _ in range(3)]
    return torch.linalg.inv(rotation @ torch.diag(torch.tensor(scales)))


def _rotation(axis: int, angle: float) -> Tensor:
    matrix = torch.eye(3)
    i, j = [a for a in range(3) if a != axis]
    matrix[i, i] = matrix[j, j] = math.cos(angle)
    matrix[i, j], matrix[j, i] = -math.sin(angle), math.sin(angle)
    return matrix


def _random_elastic(anatomy: Anatomy, to_source: Tensor, generator: torch.Generator, strength: float) -> _Elastic:
    shape = _output_shape(anatomy, to_source, strength)
    layers = []
    for control_mm, peak_range_mm in ELASTIC_SCALES_MM:
        spacing = control_mm / anatomy.spacing_mm
        counts = [control_count(size, spacing) for size in shape]
        control = torch.randn([3, *counts], generator=generator).to(anatomy.tissues.device)
        peak = uniform(generator, *peak_range_mm) / anatomy.spacing_mm * strength
        layer = _Elastic(shape, [(spacing, control)])
        layers.append((spacing, control * peak / _sampled(layer, stride=4).norm(dim=0).max()))
    return _without_folds(_Elastic(shape, layers))


def _output_shape(anatomy: Anatomy, to_source: Tensor, strength: float) -> list[int]:
    """Grid for the scaled body, with room for displacement across the body; along it the cut ends stay cut ends."""
    sizes = torch.tensor(anatomy.tissues.shape, dtype=torch.float32)
    scales = 1 / to_source.norm(dim=0)
    room = 2 * strength * sum(peak for _, (_, peak) in ELASTIC_SCALES_MM) / anatomy.spacing_mm
    grown = sizes * scales + torch.tensor([room, room, 0.0])
    return [max(1, round(float(size))) for size in grown]


def _without_folds(elastic: _Elastic) -> _Elastic:
    while _smallest_jacobian(elastic) < MIN_JACOBIAN:
        elastic = elastic.scaled(0.8)
    return elastic


def _smallest_jacobian(elastic: _Elastic, stride: int = 4) -> float:
    """Smallest determinant of the identity plus the gradient of the displacement, on every ``stride``-th voxel."""
    displacement = _sampled(elastic, stride)
    if min(displacement.shape[1:]) < 2:
        return 1.0
    gradient = torch.stack(torch.gradient(displacement, spacing=float(stride), dim=(1, 2, 3)), dim=1)
    jacobian = gradient.permute(2, 3, 4, 0, 1) + torch.eye(3, device=gradient.device)
    return float(torch.linalg.det(jacobian).min())


def _sampled(elastic: _Elastic, stride: int) -> Tensor:
    device = elastic.layers[0][1].device
    return elastic.at([torch.arange(0, size, stride, device=device) for size in elastic.shape])


def _warp(tissues: Tensor, to_source: Tensor, elastic: _Elastic) -> Tensor:
    """Tissue at every output voxel, slab by slab along x to bound the memory of the coordinates."""
    device = tissues.device
    axes = [torch.arange(size, device=device) for size in elastic.shape]
    mixed = _mixed_cells(tissues)
    slabs = []
    for x in axes[0].split(_SLAB):
        coordinates = _source_coordinates([x, *axes[1:]], tissues.shape, to_source.to(device), elastic)
        slabs.append(_look_up(tissues, mixed, coordinates))
    return torch.cat(slabs)


def _source_coordinates(
    axes: Sequence[Tensor], source_shape: Sequence[int], to_source: Tensor, elastic: _Elastic
) -> list[Tensor]:
    """Source position in voxels, one (A, B, C) tensor per axis, clamped to the grid."""
    offsets = elastic.at(axes)
    for i, (axis, size) in enumerate(zip(axes, elastic.shape, strict=True)):
        along = [1, 1, 1]
        along[i] = -1
        offsets[i] += (axis - (size - 1) / 2).reshape(along)
    moved = (to_source @ offsets.flatten(1)).reshape(offsets.shape)
    return [(m + (n - 1) / 2).clamp_(0, n - 1) for m, n in zip(moved, source_shape, strict=True)]


def _mixed_cells(tissues: Tensor) -> Tensor:
    """Whether the 2x2x2 voxels from each voxel upwards hold more than one tissue."""
    mixed = torch.zeros_like(tissues, dtype=torch.bool)
    for axis in range(3):
        n = tissues.shape[axis] - 1
        mixed.narrow(axis, 0, n).logical_or_(tissues.narrow(axis, 0, n) != tissues.narrow(axis, 1, n))
    for axis in range(3):
        n = tissues.shape[axis] - 1
        mixed.narrow(axis, 0, n).logical_or_(mixed.narrow(axis, 1, n).clone())
    return mixed


def _look_up(tissues: Tensor, mixed: Tensor, coordinates: Sequence[Tensor]) -> Tensor:
    """Nearest tissue; between tissues the one of the largest trilinear weight, which keeps borders smooth."""
    floors = [c.to(torch.int32) for c in coordinates]
    _, ny, nz = tissues.shape
    corner = (floors[0] * ny + floors[1]) * nz + floors[2]
    result = tissues.flatten()[corner]
    at_border = mixed.flatten()[corner]
    parts = [(c[at_border], f[at_border]) for c, f in zip(coordinates, floors, strict=True)]
    result[at_border] = _vote(tissues, parts)
    return result


def _vote(tissues: Tensor, parts: Sequence[tuple[Tensor, Tensor]]) -> Tensor:
    """Tissue of the largest summed trilinear weight among the eight voxels around each of N positions."""
    labels, weights = [], []
    for bits in range(8):
        index, weight = [], torch.ones_like(parts[0][0])
        for axis, (position, floor) in enumerate(parts):
            step = bits >> axis & 1
            fraction = position - floor
            index.append((floor + step).clamp(max=tissues.shape[axis] - 1))
            weight = weight * (fraction if step else 1 - fraction)
        labels.append(tissues[index[0], index[1], index[2]])
        weights.append(weight)
    best, best_weight = labels[0].clone(), torch.full_like(weights[0], -1)
    for candidate in labels:
        total = sum((w * (other == candidate) for other, w in zip(labels, weights, strict=True)), torch.zeros(()))
        better = total > best_weight
        best = torch.where(better, candidate, best)
        best_weight = torch.where(better, total, best_weight)
    return best


def _crop_air(tissues: Tensor, anatomy: Anatomy) -> Tensor:
    """Cut the air in x and y beyond ``BORDER_MM`` around the body; a map without any body stays whole."""
    body = tissues != Tissue.OUTSIDE
    if not body.any():
        return tissues
    margin = math.ceil(BORDER_MM / anatomy.spacing_mm)
    for axis, others in ((0, (1, 2)), (1, (0, 2))):
        filled = body.any(dim=others[1]).any(dim=others[0]).nonzero()
        start = max(0, int(filled.min()) - margin)
        stop = min(tissues.shape[axis], int(filled.max()) + 1 + margin)
        tissues = tissues.narrow(axis, start, stop - start)
        body = body.narrow(axis, start, stop - start)
    return tissues.contiguous()
