"""Registration of a whole body onto a patient of whom only some organs are labelled."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812 - the name everyone gives it

from bundle.rendering.fields import control_count, spline_basis, spline_field
from bundle.rendering.tissues import Tissue

CONTROL_SPACING_MM = 22.0
GRID_MM = 5.0
# Grid, smoothing of the organs, steps of Adam, its step size in mm.
_SCALES = ((8.0, 10.0, 60, 2.0), (GRID_MM, 4.5, 45, 1.0))
_BENDING_WEIGHT = 0.018
_OVERLAP_WEIGHT = 0.6
_KEPT_CLEAR = (Tissue.BONE, Tissue.MUSCLE, Tissue.AORTA, Tissue.VENA_CAVA, Tissue.KIDNEY_RIGHT, Tissue.CARTILAGE)
# Cut by the field of view or nearly collapsed, these say little about where the rest of the body is.
_NO_GUIDE = (Tissue.OESOPHAGUS, Tissue.OUTSIDE, Tissue.FAT, Tissue.BOWEL)


@dataclass(frozen=True)
class Registration:
    """Where each point of a patient lies in the donor: x -> ``linear`` x + ``offset_mm`` + spline displacement.

    Points are in mm from the centre of the first voxel, in RAS order.

    Args:
        linear: (3, 3).
        offset_mm: (3,).
        control_mm: (3, I, J, K) spline control values of the displacement.
    """

    linear: Tensor
    offset_mm: Tensor
    control_mm: Tensor

    def donor_points_mm(self, axes_mm: Sequence[Tensor]) -> Tensor:
        """(3, X, Y, Z) points in the donor of the patient's points, given by their coordinates along each axis."""
        points = torch.stack(torch.meshgrid(*axes_mm, indexing="ij"))
        moved = torch.einsum("ab,bxyz->axyz", self.linear, points) + self.offset_mm[:, None, None, None]
        bases = _bases(axes_mm, self.control_mm.shape[1:])
        return moved + torch.stack([spline_field(control, bases) for control in self.control_mm])

    def warp(self, donor: Tensor, donor_spacing_mm: float, shape: Sequence[int], spacing_mm: float) -> Tensor:
        """The donor's (X, Y, Z) codes on the patient's grid; 0 beyond the donor's map. Nearest neighbour."""
        warped = torch.zeros(tuple(shape), dtype=donor.dtype)
        x_mm, y_mm, z_mm = (torch.arange(n) * spacing_mm for n in shape)
        size = torch.tensor(donor.shape)[:, None, None, None]
        for start in range(0, shape[0], 16):  # slabs, so that the points of a whole body need not fit into memory
            index = (self.donor_points_mm((x_mm[start : start + 16], y_mm, z_mm)) / donor_spacing_mm).round_().long()
            inside = ((index >= 0) & (index < size)).all(dim=0)
            i, j, k = torch.minimum(index.clamp_(min=0), size - 1)
            warped[start : start + 16] = donor[i, j, k] * inside
        return warped


def register(patient: Tensor, donor: Tensor, spacing_mm: float, donor_spacing_mm: float) -> Registration:
    """Align the organs that both maps label: affinely by their centroids, then by a spline that Adam adjusts.

    The spline (control values 22 mm apart) is found at 8 and then at 5 mm. It maximises the soft Dice of the smoothed
    organs, less what the donor's bones, muscles, great vessels and right kidney overlap the patient's organs and less
    the spline's bending, both of which keep the rest of the body plausible.

    Args:
        patient: uint8 (X, Y, Z) tissue codes, RAS; the grid on which the spline lives.
        donor: uint8 (X, Y, Z) tissue codes, RAS.
    """
    shared = shared_organs(patient, donor)
    linear, offset_mm = affine_by_centroids(patient, donor, shared, spacing_mm, donor_spacing_mm)
    counts = [control_count(int(n * spacing_mm) + 1, CONTROL_SPACING_MM) for n in patient.shape]
    control_mm = torch.zeros(3, *counts)
    box = _box_around(patient, shared, round(15 / spacing_mm))
    clear = [tissue for tissue in _KEPT_CLEAR if tissue not in shared]
    for grid_mm, smoothing_mm, steps, step_mm in _SCALES:
        fixed = _organ_channels(patient[box], shared, spacing_mm, grid_mm, smoothing_mm)
        axes_mm = [b.start * spacing_mm + torch.arange(n) * grid_mm for b, n in zip(box, fixed.shape[1:], strict=True)]
        moving = _organ_channels(donor, shared, donor_spacing_mm, grid_mm, smoothing_mm)
        solid = _organ_channels(donor, clear, donor_spacing_mm, grid_mm, smoothing_mm).sum(dim=0, keepdim=True)
        start = Registration(linear, offset_mm, control_mm)
        control_mm = _adjust_spline(start, fixed, axes_mm, torch.cat([moving, solid]), grid_mm, steps, step_mm)
    return Registration(linear, offset_mm, control_mm)


def shared_organs(patient: Tensor, donor: Tensor) -> list[Tissue]:
    """Organs present in both maps that tell where the body lies."""
    present = set(patient.unique().tolist()) & set(donor.unique().tolist())
    return [tissue for tissue in Tissue if tissue.value in present and tissue not in _NO_GUIDE]


def affine_by_centroids(
    patient: Tensor, donor: Tensor, organs: Sequence[Tissue], spacing_mm: float, donor_spacing_mm: float
) -> tuple[Tensor, Tensor]:
    """Least-squares affine (linear (3, 3), offset (3,) in mm) from the patient's to the donor's organ centroids.

    Shrunk towards the isotropic scaling that fits best, since a few centroids barely fix twelve parameters.
    """
    to = torch.stack([_centroid(donor, organ) for organ in organs]) * donor_spacing_mm
    of = torch.stack([_centroid(patient, organ) for organ in organs]) * spacing_mm
    to_centre, of_centre = to.mean(dim=0), of.mean(dim=0)
    to, of = to - to_centre, of - of_centre
    scale = float((to * of).sum() / (of * of).sum().clamp(min=1e-6)) if len(organs) > 1 else 1.0
    ridge = 0.5 * float((of * of).sum()) / 3 + 1.0
    eye = torch.eye(3)
    linear = torch.linalg.solve(of.T @ of + ridge * eye, of.T @ to + ridge * scale * eye).T
    return linear, to_centre - linear @ of_centre


def _centroid(codes: Tensor, organ: Tissue) -> Tensor:
    return torch.nonzero(codes == organ.value).float().mean(dim=0)


def _organ_channels(
    codes: Tensor, organs: Sequence[Tissue], spacing_mm: float, grid_mm: float, smoothing_mm: float
) -> Tensor:
    """(C, X', Y', Z') occupancy of each organ on a coarser grid, smoothed by a Gaussian; voxel 0 keeps its centre."""
    factor = grid_mm / spacing_mm
    sigma = smoothing_mm / spacing_mm
    channels = []
    for organ in organs:
        channel = (codes == organ.value).float()
        for axis in range(3):
            channel = _smooth_and_sample(channel, axis, factor, sigma)
        channels.append(channel)
    return torch.stack(channels)


def _smooth_and_sample(values: Tensor, axis: int, factor: float, sigma: float) -> Tensor:
    size = values.shape[axis]
    centres = torch.arange(0, size, factor)
    weights = torch.exp(-0.5 * ((torch.arange(size)[None] - centres[:, None]) / sigma) ** 2)
    weights = weights / (sigma * (2 * torch.pi) ** 0.5)
    return torch.movedim(torch.tensordot(weights, values, dims=([1], [axis])), 0, axis)


def _box_around(codes: Tensor, organs: Sequence[Tissue], margin: int) -> tuple[slice, ...]:
    voxels = torch.nonzero(torch.isin(codes, torch.tensor([organ.value for organ in organs], dtype=codes.dtype)))
    low = (voxels.amin(dim=0) - margin).clamp(min=0).tolist()
    return tuple(slice(a, b + margin + 1) for a, b in zip(low, voxels.amax(dim=0).tolist(), strict=True))


def _adjust_spline(
    start: Registration,
    fixed: Tensor,
    axes_mm: Sequence[Tensor],
    moving: Tensor,
    grid_mm: float,
    steps: int,
    step_mm: float,
) -> Tensor:
    """Control values after Adam; ``fixed`` lies at ``axes_mm``, ``moving`` has the donor's solid tissues as last."""
    points_mm = Registration(start.linear, start.offset_mm, torch.zeros_like(start.control_mm)).donor_points_mm(axes_mm)
    bases = _bases(axes_mm, start.control_mm.shape[1:])
    size = torch.tensor(moving.shape[1:]) - 1
    organs = fixed.sum(dim=0)
    control_mm = start.control_mm.clone().requires_grad_()
    optimizer = torch.optim.Adam([control_mm], lr=step_mm)
    for _ in range(steps):
        optimizer.zero_grad()
        moved_mm = points_mm + torch.stack([spline_field(control, bases) for control in control_mm])
        index = torch.movedim(moved_mm, 0, -1) / grid_mm
        grid = (2 * index / size - 1).flip(-1)
        warped = F.grid_sample(moving[None], grid[None], padding_mode="zeros", align_corners=True)[0]
        overlap = (warped[-1] * organs).sum() / organs.sum()
        loss = _dice_loss(warped[:-1], fixed) + _OVERLAP_WEIGHT * overlap + _BENDING_WEIGHT * _bending(control_mm)
        loss.backward()
        optimizer.step()
    return control_mm.detach()


def _dice_loss(pred: Tensor, label: Tensor) -> Tensor:
    both = (pred * label).flatten(1).sum(dim=1)
    each = (pred * pred + label * label).flatten(1).sum(dim=1)
    return (1 - 2 * both / each.clamp(min=1e-6)).mean()


def _bending(control_mm: Tensor) -> Tensor:
    """Mean squared second difference along each axis, in mm²."""
    return torch.stack([(control_mm.diff(n=2, dim=axis) ** 2).mean() for axis in (1, 2, 3)]).mean()


def _bases(axes_mm: Sequence[Tensor], counts: Sequence[int]) -> list[Tensor]:
    """(N, M) spline weights along each axis, with exactly ``counts`` control values: all grids share one spline."""
    bases = [spline_basis(axis_mm, CONTROL_SPACING_MM) for axis_mm in axes_mm]
    return [F.pad(basis, (0, count - basis.shape[1])) for basis, count in zip(bases, counts, strict=True)]
