"""Stomach, duodenum and bowel: their walls, the loops they fold into, and what these hold."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from bundle.rendering.draws import chance, pick, uniform
from bundle.rendering.scene import Region, Scene, depth_voxels
from bundle.rendering.tissues import Tissue

ORAL_CONTRAST_SHARE = 0.25
GAS_HU = -960.0
BUBBLE_HU = -650.0
LOOP_MM = 27.0
# The colon changes its content, and its level of gas, over this length.
_COLON_STRETCH_MM = 90.0


@dataclass(frozen=True)
class Content:
    """What a loop holds.

    Args:
        hu: range of its mean; empty for a loop without lumen.
        mottle: standard deviation within the loop.
        gas: range of the share of the loop's height that is gas, lying on top.
        bubbles: share of the rest that is small bubbles.
    """

    hu: tuple[float, float] | None
    mottle: float
    gas: tuple[float, float]
    bubbles: float = 0.0


CONTENTS = {
    "collapsed": Content(None, 12, (0.0, 0.0)),
    "fluid": Content((0, 30), 5, (-0.3, 0.3)),
    "food": Content((15, 70), 20, (-0.1, 0.45), 0.02),
    "gas": Content((0, 30), 8, (0.55, 1.0)),
    "stool": Content((-60, 50), 35, (-0.3, 0.75), 0.14),
    "contrast": Content((150, 400), 14, (-0.2, 0.35)),
}


@dataclass(frozen=True)
class _Habit:
    """How an organ is built and filled: range of wall, shares of contents, chance that drunk contrast got there."""

    wall_mm: tuple[float, float]
    shares: dict[str, float]
    takes_contrast: float


_STOMACH = _Habit((2.5, 5.0), {"fluid": 0.35, "food": 0.27, "gas": 0.26, "collapsed": 0.12}, 0.8)
_DUODENUM = _Habit((1.8, 3.2), {"collapsed": 0.42, "fluid": 0.38, "food": 0.1, "gas": 0.1}, 0.5)
_SMALL_BOWEL = _Habit((1.5, 3.0), {"collapsed": 0.35, "fluid": 0.43, "food": 0.14, "gas": 0.08}, 0.6)
_COLON = _Habit((1.5, 3.0), {"stool": 0.48, "gas": 0.28, "fluid": 0.12, "collapsed": 0.12}, 0.3)


def paint_hollow_organs(scene: Scene) -> None:
    """Wall and contents of stomach, duodenum, bowel and oesophagus; about a quarter of patients drank contrast."""
    g = scene.generator
    contrast_hu = uniform(g, 150, 400) if chance(g, ORAL_CONTRAST_SHARE) else None
    scene.facts["oral_contrast"] = contrast_hu is not None
    for tissue, habits in (
        (Tissue.STOMACH, (_STOMACH,)),
        (Tissue.DUODENUM, (_DUODENUM,)),
        (Tissue.BOWEL, (_SMALL_BOWEL, _COLON)),
    ):
        region = scene.region(tissue)
        if region is not None:
            _paint_hollow_organ(scene, region, tissue, habits, contrast_hu)
    _paint_oesophagus(scene)


def _paint_hollow_organ(
    scene: Scene, region: Region, tissue: Tissue, habits: Sequence[_Habit], contrast_hu: float | None
) -> None:
    g, mask = scene.generator, region.mask
    loops = _Loops(scene, region, loop_mm=None if tissue is Tissue.STOMACH else LOOP_MM)
    rows = _draw_loops(loops, habits, contrast_hu, scene.hu[tissue], g).to(mask.device)
    hu, mottle, gas, bubbles, wall_mm = rows[loops.nearest].unbind(dim=1)
    fine = region.fine[mask]
    depth_mm = depth_voxels(mask, 5)[mask].float() * scene.spacing_mm
    depth_mm = torch.minimum(depth_mm, loops.to_border_mm + scene.spacing_mm)
    wall = ((wall_mm * (1 + 0.2 * fine) - depth_mm) / scene.spacing_mm + 1).clamp_(0, 1)
    grain = 0.6 * fine + 0.8 * torch.randn(fine.shape, generator=g).to(fine.device)
    inside = hu + mottle * grain
    bubbly = (grain - _quantile_of_normal(1 - bubbles)).clamp_(0, 1) * (bubbles > 0)
    inside = torch.lerp(inside, torch.full_like(inside, BUBBLE_HU), bubbly)
    inside = torch.where(_gas_on_top(loops, wall < 0.5, gas, len(rows)), GAS_HU + 8 * fine, inside)
    region.image_hu[mask] = torch.lerp(inside, region.image_hu[mask], wall)


class _Loops:
    """Division of an organ's N voxels into loops, the cells nearest to the points of a jittered grid.

    ``nearest`` and ``second`` (N,) number the two nearest points, ``points`` (P, 3) are their positions relative to the
    organ's box from 0 to 1, ``to_border_mm`` (N,) is the distance to the next loop, ``height`` (N,) the voxel's y.
    Without ``loop_mm``, the distance of the points, all is one loop.
    """

    def __init__(self, scene: Scene, region: Region, loop_mm: float | None) -> None:
        voxels = region.mask.nonzero()
        self.extent_mm = torch.tensor(region.mask.shape) * scene.spacing_mm
        self.height = voxels[:, 1].float()
        if loop_mm is not None:
            self._divide(voxels.float() * scene.spacing_mm, loop_mm, scene.generator)
        else:
            self.points = torch.full((1, 3), 0.5)
            self.nearest = self.second = torch.zeros_like(voxels[:, 0])
            self.to_border_mm = torch.full_like(self.height, torch.inf)

    def merge(self, leaders: Tensor) -> None:
        """Make each loop part of the loop ``leaders`` (P,) names; no border is left between them."""
        self.nearest, self.second = leaders[self.nearest], leaders[self.second]
        self.to_border_mm = torch.where(self.nearest == self.second, torch.inf, self.to_border_mm)

    def _divide(self, place_mm: Tensor, loop_mm: float, generator: torch.Generator) -> None:
        device = place_mm.device
        place = (place_mm + _bend_mm(place_mm, generator)) / loop_mm
        extent = self.extent_mm / loop_mm
        counts = [int(e) + 4 for e in extent]
        grid = torch.cartesian_prod(*[torch.arange(n, dtype=torch.float32) for n in counts]) - 1.5
        jitter = torch.rand(grid.shape, generator=generator) - 0.5
        seeds = (grid + 0.6 * jitter).to(device)
        self.points = (seeds / extent.to(device)).cpu()
        self._search(place, seeds, counts)
        self.to_border_mm = (self._far - self._near) * loop_mm / 2

    def _search(self, place: Tensor, seeds: Tensor, counts: Sequence[int]) -> None:
        """Nearest two of the eight points around each place; the jitter is small enough that no other is nearer."""
        base = (place + 1.5).floor().long()
        for axis, count in enumerate(counts):
            base[:, axis].clamp_(0, count - 2)
        self._near = torch.full_like(place[:, 0], torch.inf)
        self._far = self._near.clone()
        self.nearest = torch.zeros_like(base[:, 0])
        self.second = self.nearest.clone()
        flat = (base[:, 0] * counts[1] + base[:, 1]) * counts[2] + base[:, 2]
        for corner in range(8):
            step = (corner >> 2 & 1) * counts[1] * counts[2] + (corner >> 1 & 1) * counts[2] + (corner & 1)
            index = flat + step
            distance = _length(place - seeds[index])
            closer = distance < self._near
            runner_up = ~closer & (distance < self._far)
            self._far = torch.where(closer, self._near, torch.where(runner_up, distance, self._far))
            self.second = torch.where(closer, self.nearest, torch.where(runner_up, index, self.second))
            self._near = torch.where(closer, distance, self._near)
            self.nearest = torch.where(closer, index, self.nearest)


def _bend_mm(place_mm: Tensor, generator: torch.Generator) -> Tensor:
    """Displacement (N, 3) that curves straight borders: a sine of each coordinate along each other axis."""
    wave_mm = 25 + 20 * torch.rand(2, 3, generator=generator).to(place_mm.device)
    turned = torch.stack([place_mm.roll(1, dims=1), place_mm.roll(2, dims=1)])
    return 2.5 * torch.sin(turned * (2 * torch.pi / wave_mm[:, None])).sum(dim=0)


def _length(vectors: Tensor) -> Tensor:
    # Several times as fast as norm() over a short last axis.
    x, y, z = vectors.unbind(dim=1)
    return (x * x + y * y + z * z).sqrt_()


def _draw_loops(
    loops: _Loops, habits: Sequence[_Habit], contrast_hu: float | None, wall_hu: float, g: torch.Generator
) -> Tensor:
    """One row per loop: HU, mottle, share of gas, share of bubbles, wall in mm. Loops of colon are merged first."""
    is_colon = _are_colon(loops, g) if len(habits) > 1 else torch.zeros(len(loops.points), dtype=torch.bool)
    loops.merge(_stretches(loops, is_colon).to(loops.nearest.device))
    rows = []
    walls = [uniform(g, *habit.wall_mm) for habit in habits]
    for colon in is_colon.int().tolist():
        habit = habits[colon]
        name = pick(g, habit.shares)
        if contrast_hu is not None and name != "collapsed" and chance(g, habit.takes_contrast):
            name = "contrast"
        content = CONTENTS[name]
        hu = contrast_hu if name == "contrast" and contrast_hu else uniform(g, *(content.hu or (wall_hu, wall_hu)))
        gas = max(0.0, uniform(g, *content.gas))
        rows.append([hu, content.mottle, gas, content.bubbles, walls[colon]])
    return torch.tensor(rows)


def _are_colon(loops: _Loops, generator: torch.Generator) -> Tensor:
    """Which points (P,) are colon: it frames the abdomen, so those far to the side or in front."""
    at_side = (loops.points[:, 0] - 0.5).abs() * 2
    in_front = loops.points[:, 1] + 0.25 * torch.randn(len(at_side), generator=generator)
    return torch.maximum(at_side, in_front) > 0.72


def _stretches(loops: _Loops, is_colon: Tensor) -> Tensor:
    """For each point (P,) the first point of its stretch of colon; itself where it is none."""
    places = (loops.points * loops.extent_mm / _COLON_STRETCH_MM + 0.5).long().tolist()
    first: dict[tuple[int, ...], int] = {}
    leaders = [
        first.setdefault(tuple(place), i) if colon else i
        for i, (place, colon) in enumerate(zip(places, is_colon.tolist(), strict=True))
    ]
    return torch.tensor(leaders)


def _gas_on_top(loops: _Loops, in_lumen: Tensor, gas: Tensor, count: int) -> Tensor:
    """Whether each voxel is gas: the upper share of its loop's lumen. The patient lies on the back, so up is +y."""
    cell, height = loops.nearest[in_lumen], loops.height[in_lumen]
    start = torch.full((count,), torch.inf, device=height.device)
    lowest = start.scatter_reduce(0, cell, height, "amin")
    highest = (-start).scatter_reduce(0, cell, height, "amax")
    level = highest[loops.nearest] - gas * (highest - lowest)[loops.nearest]
    return in_lumen & (gas > 0) & (loops.height > level)


def _quantile_of_normal(share: Tensor) -> Tensor:
    return 2**0.5 * torch.erfinv((2 * share - 1).clamp(-0.999, 0.999))


def _paint_oesophagus(scene: Scene) -> None:
    """A little gas or fluid in the middle."""
    region = scene.region(Tissue.OESOPHAGUS)
    if region is None:
        return
    depth_mm = depth_voxels(region.mask, 6).float() * scene.spacing_mm
    lumen = (depth_mm + scene.field(region.mask.shape, 12.0) - uniform(scene.generator, 4, 7)).clamp_(0, 1)
    region.blend(uniform(scene.generator, -700, 20), lumen)
