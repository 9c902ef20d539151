"""The canvas of a rendering: the tissues of one body, the HU painted so far, and what was drawn about the patient."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from bundle.rendering.fields import smooth_field
from bundle.rendering.tissues import Tissue


@dataclass(frozen=True)
class Region:
    """The bounding box of some tissue, as views: what is written to ``image_hu`` shows in the scene.

    Args:
        mask: bool (X, Y, Z), where the tissue is.
        image_hu: float32 (X, Y, Z) view of the canvas.
        tissues: uint8 (X, Y, Z) view of the anatomy.
        fine: view of the scene's fine texture, unit variance.
        box: where the views lie in the scene.
    """

    mask: Tensor
    image_hu: Tensor
    tissues: Tensor
    fine: Tensor
    box: tuple[slice, slice, slice]

    def blend(self, hu: float | Tensor, weight: Tensor) -> None:
        """Mix ``hu`` into the tissue with ``weight`` (X, Y, Z) from 0, unchanged, to 1, replaced."""
        # In place: allocating full-size floats is most of the time a painter takes.
        self.image_hu.add_((hu - self.image_hu).mul_(weight).mul_(self.mask))


@dataclass
class Scene:
    """One patient being painted.

    Args:
        tissues: uint8 (X, Y, Z) in RAS.
        hu: HU of each tissue in this patient at this phase.
        image_hu: float32 (X, Y, Z), the canvas.
        label: uint8 (X, Y, Z), the class of each voxel; painters may change it.
        fine: float32 (X, Y, Z), texture over a few mm, unit variance.
        facts: plain values about what was painted.
    """

    tissues: Tensor
    spacing_mm: float
    generator: torch.Generator
    phase: str
    hu: dict[Tissue, float]
    image_hu: Tensor
    label: Tensor
    fine: Tensor
    facts: dict[str, Any] = field(default_factory=dict)

    def region(self, *wanted: Tissue) -> Region | None:
        """Box around the wanted tissues, one voxel wider on each side; none where the body has none of them."""
        mask = self.tissues == int(wanted[0])
        for tissue in wanted[1:]:
            mask |= self.tissues == int(tissue)
        box = _bounding_box(mask, margin=1)
        if box is None:
            return None
        return Region(mask[box], self.image_hu[box], self.tissues[box], self.fine[box], box)

    def field(self, shape: Sequence[int], over_mm: float | Sequence[float]) -> Tensor:
        """Smooth random field of unit variance that varies over ``over_mm``."""
        spacings = [over_mm] * 3 if isinstance(over_mm, (int, float)) else over_mm
        voxels = [max(1.0, mm / self.spacing_mm) for mm in spacings]
        return smooth_field(shape, voxels, self.generator, self.tissues.device)

    def tubes(self, shape: Sequence[int], apart_mm: float, radius_mm: float) -> Tensor:
        """Weight 0 to 1 of winding random tubes: the curves where two smooth fields are both near zero."""
        squares = self.field(shape, apart_mm).square_() + self.field(shape, apart_mm).square_()
        # A spline over unit control values has a gradient of about 1.2 standard deviations per control spacing.
        edge = (1.2 * radius_mm / apart_mm) ** 2
        return (1.5 - squares / edge).clamp_(0, 1)


def depth_voxels(mask: Tensor, limit: int) -> Tensor:
    """Depth below the surface of a bool (X, Y, Z) mask: 0 outside, 1 at the surface, up to ``limit``, as uint8.

    Steps alternate between 6 and 26 neighbours, so that depth is nearly round. The grid's end is no surface.
    """
    depth = mask.to(torch.uint8)
    inner = mask
    for step in range(1, limit):
        inner = _erode(inner, cube=step % 2 == 0)
        depth += inner
    return depth


def _erode(mask: Tensor, cube: bool) -> Tensor:
    eroded = mask.clone()
    for axis in range(3):
        source = eroded.clone() if cube else mask
        n = mask.shape[axis] - 1
        eroded.narrow(axis, 1, n).logical_and_(source.narrow(axis, 0, n))
        eroded.narrow(axis, 0, n).logical_and_(source.narrow(axis, 1, n))
    return eroded


def _bounding_box(mask: Tensor, margin: int) -> tuple[slice, slice, slice] | None:
    # Maxima of bytes over outer axes are several times as fast as any().
    over_x, over_y = mask.view(torch.uint8).amax(dim=0), mask.view(torch.uint8).amax(dim=1)
    profiles = (over_y.amax(dim=1), over_x.amax(dim=1), over_x.amax(dim=0))
    if not profiles[0].any():
        return None
    x, y, z = (_span(profile, margin) for profile in profiles)
    return x, y, z


def _span(profile: Tensor, margin: int) -> slice:
    filled = profile.nonzero()
    return slice(max(0, int(filled[0]) - margin), min(len(profile), int(filled[-1]) + 1 + margin))
