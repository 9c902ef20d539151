"""The pancreas of a procedural body, and the splenic vessels that run along it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from scipy import ndimage
from torch import Tensor

from bundle.rendering.body_parts.gut import Duodenum
from bundle.rendering.body_parts.habitus import Habitus
from bundle.rendering.body_parts.vessels import Vessels
from bundle.rendering.draws import bounded_normal, uniform
from bundle.rendering.shapes import Canvas, Grid, Point, draw_tube, jitter, spline, tube
from bundle.rendering.tissues import Tissue


@dataclass(frozen=True)
class GlandPlan:
    """What is settled of a gland before anything around it is drawn.

    Args:
        volume_ml: of the whole gland.
        calibre_mm: typical radius, from the volume.
        flatness: height of the body's cross-section over its thickness.
        lobulation: depth of the lobules over the radius.
        apex_mm: height of the body's middle over the neck (horseshoe when above the tail).
        forward_mm: how far the body bulges before the aorta.
    """

    volume_ml: float
    calibre_mm: float
    flatness: float
    lobulation: float
    apex_mm: float
    forward_mm: float


def plan_gland(generator: torch.Generator, habitus: Habitus) -> GlandPlan:
    """A random gland, small and atrophic to bulky, in the volumes of adults (20 to 130 ml)."""
    volume_ml = min(max(72 + bounded_normal(generator, 27), 21.0), 129.0)
    if uniform(generator, 0, 1) < 0.2:  # atrophic glands are common among patients
        volume_ml = uniform(generator, 21, 45)
    return GlandPlan(
        volume_ml=volume_ml,
        calibre_mm=9.6 * (volume_ml / 75) ** 0.42,
        flatness=uniform(generator, 1.1, 1.6),
        lobulation=uniform(generator, 0.04, 0.18),
        apex_mm=uniform(generator, -16, 44) * habitus.height,
        forward_mm=uniform(generator, 0, 12) * habitus.depth_scale,
    )


def draw_gland(canvas: Canvas, plan: GlandPlan, vessels: Vessels, duodenum: Duodenum) -> None:
    """Draw the splenic vessels and the gland from the duodenum to the spleen (both drawn before).

    The volume comes out as planned: the calibre is the threshold on distance over radius that gives it.
    """
    trunk_line = _centre_line(canvas, plan, vessels, duodenum)
    tail = spline(trunk_line[2:], 4)
    _draw_splenic_vessels(canvas, plan, vessels, tail)
    curves = [spline(trunk_line, 4), *_head_curves(canvas.generator, plan, vessels, duodenum)]
    _fill_volume(canvas, plan, curves)


def _centre_line(canvas: Canvas, plan: GlandPlan, vessels: Vessels, duodenum: Duodenum) -> list[tuple[float, ...]]:
    """(x, y, z, radius) from the head over the neck (third point), before the veins, to the spleen's hilum."""
    generator = canvas.generator
    r = plan.calibre_mm
    x, y, z = vessels.confluence
    clear = y + vessels.vein_radius + 0.75 * r
    head = (duodenum.middle[0] - duodenum.radius - 1.15 * r, duodenum.middle[1] + 5, z - 12)
    neck = (x + 1, clear, z + 1 + bounded_normal(generator, 3))
    body = (x - 30, clear + plan.forward_mm - 4, z + 0.75 * plan.apex_mm + 6)
    aim = (x - 75, 32, z + uniform(generator, -25, 50))
    spleen = _splenic_hilum(canvas, aim)
    tail = (spleen[0] + uniform(generator, 5, 12), spleen[1] + 4, spleen[2])
    share = uniform(generator, 0.45, 0.6)
    across = (
        body[0] + share * (tail[0] - body[0]),
        max(body[1] + (share + 0.12) * (tail[1] - body[1]), tail[1] + 4),
        body[2] + share * (tail[2] - body[2]) + 0.45 * plan.apex_mm - 4,
    )
    bulk = uniform(generator, 0.75, 1.2)
    across, tail = (_before_kidney(canvas, point, r) for point in (across, tail))
    middle = [(a + b) / 2 for a, b in zip(across, tail, strict=True)]
    half_way = _before_kidney(canvas, (middle[0], middle[1], middle[2]), r)
    return [
        (*head, 1.25 * r),
        ((head[0] + neck[0]) / 2 + 2, 0.35 * head[1] + 0.65 * neck[1], z - 4, 1.1 * r),
        (*neck, 0.75 * r),
        (*jitter(generator, body, 3), 0.88 * r),
        (*across, 0.95 * r * (0.5 + 0.5 * bulk)),
        (*half_way, 0.9 * r * (0.3 + 0.7 * bulk)),
        (*tail, 0.8 * r * bulk),
    ]


def _splenic_hilum(canvas: Canvas, aim: Point) -> Point:
    """The point of the spleen nearest to ``aim``, or ``aim`` itself without a spleen."""
    voxels = (canvas.tissues == Tissue.SPLEEN).nonzero()
    if len(voxels) == 0:
        return aim
    places = voxels * canvas.spacing_mm + torch.tensor(canvas.lower_mm)
    x, y, z = places[(places - torch.tensor(aim)).norm(dim=1).argmin()].tolist()
    return x, y, z


def _before_kidney(canvas: Canvas, point: Point, radius: float) -> Point:
    """A point moved forward until a tube around it, with the splenic vein behind, clears the left kidney."""
    x, y, z = point
    grid = canvas.grid((x - radius, -80, z - radius), (x + radius, 120, z + radius))
    kidney = (canvas.tissues[grid.slices] == Tissue.KIDNEY_LEFT).any(dim=2).any(dim=0)
    front = float(grid.y[0, kidney].max()) if kidney.any() else -80.0
    return x, max(y, front + 0.9 * radius + 4), z


def _head_curves(generator: torch.Generator, plan: GlandPlan, vessels: Vessels, duodenum: Duodenum) -> list[Tensor]:
    """The head's lower part along the descending duodenum, and the uncinate process hooking behind the vein."""
    r = plan.calibre_mm
    x, y, z = vessels.confluence
    inner = duodenum.middle[0] - duodenum.radius - 1.05 * r
    low = 0.8 * duodenum.lower[2] + 0.2 * z
    top = (inner - 2, duodenum.upper[1] + 3, z + 4, 1.1 * r)
    middle = (inner, duodenum.middle[1] + 2, 0.5 * (z + low), 1.3 * r)
    bottom = (inner - 5, duodenum.lower[1] + 3, low + 0.4 * r, 0.95 * r)
    vein = vessels.mesenteric_vein[0]
    hook = uniform(generator, -2, 14)
    tip = (vein[0] - hook, vein[1] - vessels.vein_radius - 0.55 * r, vein[2] - 6, 0.38 * r)
    root = (inner - 4, duodenum.middle[1], vein[2] - 2, 0.95 * r)
    half = ((root[0] + tip[0]) / 2, 0.5 * (root[1] + tip[1]) - 2, vein[2] - 5, 0.7 * r)
    return [spline([top, middle, bottom], 4), spline([root, half, tip], 4)]


def _draw_splenic_vessels(canvas: Canvas, plan: GlandPlan, vessels: Vessels, tail: Tensor) -> None:
    """Draw the splenic vein along the back of body and tail, and the winding artery along their upper border."""
    generator = canvas.generator
    radius = uniform(generator, 3.0, 4.6)
    picks = torch.linspace(0, len(tail) - 1, 7).long()[1:]
    line = tail[picks]
    away = _backwards(tail)[picks] * (0.95 * line[:, 3:] + 0.6 * radius)
    behind = [(x, y, z + 1, radius) for x, y, z in (line[:, :3] + away).tolist()]
    draw_tube(canvas, [(*vessels.confluence, radius * 1.1), *behind], Tissue.PORTAL_VEINS)
    end = behind[-1]
    for rise in (-12, 10):  # branches at the hilum
        draw_tube(canvas, [(*end[:3], 2.6), (end[0] - 9, end[1] - 2, end[2] + rise, 1.8)], Tissue.PORTAL_VEINS)
    wind = uniform(generator, 0, 7)
    above = [(*vessels.coeliac_fork, 2.7)]
    for k, (px, py, pz, pr) in enumerate(line.tolist()):
        swing = wind * (1 if k % 2 else -1)
        above.append((px, py - 0.45 * pr + 0.3 * swing, pz + 0.95 * pr * plan.flatness + 2 + 0.6 * swing, 2.4))
    draw_tube(canvas, above, Tissue.ARTERIES)


def _backwards(curve: Tensor) -> Tensor:
    """Unit vectors (N, 3), level and square to a curve that runs leftwards, pointing to its back."""
    way = torch.gradient(curve[:, :2], dim=0)[0]
    across = torch.stack([-way[:, 1], way[:, 0], torch.zeros(len(way))], dim=1)
    return across / across.norm(dim=1, keepdim=True).clamp(min=1e-3)


def _fill_volume(canvas: Canvas, plan: GlandPlan, curves: list[Tensor]) -> None:
    """Grow the gland around its curves into free fat until it has its volume."""
    points = torch.cat(curves)
    margin_mm = 16.0
    reach = points[:, 3:] + torch.tensor([margin_mm, margin_mm, margin_mm * plan.flatness + 6])
    grid = canvas.grid((points[:, :3] - reach).amin(0).tolist(), (points[:, :3] + reach).amax(0).tolist())
    field = torch.full(grid.shape, 1000.0)
    for number, curve in enumerate(curves):
        stretch = plan.flatness if number == 0 else 1.0
        field = torch.minimum(field, tube(canvas, grid, curve, margin_mm, stretch))
    r = plan.calibre_mm
    field += r * plan.lobulation * _lobules(canvas, grid)
    field += 0.10 * r * canvas.noise(grid, 26)
    field.masked_fill_(~canvas.free(grid), 999.0)
    wanted = min(int(plan.volume_ml * 1000 / canvas.spacing_mm**3), field.numel() - 1)
    level = float(field.flatten().kthvalue(max(wanted, 1)).values)
    canvas.paint(grid, _largest_piece(field <= min(level, margin_mm)), Tissue.PANCREAS)


def _largest_piece(mask: Tensor) -> Tensor:
    """The largest 26-connected piece of a mask; an empty mask stays empty."""
    pieces, count = ndimage.label(mask.numpy(), structure=np.ones((3, 3, 3)))
    if count < 2:
        return mask
    return torch.from_numpy(pieces == 1 + np.bincount(pieces.ravel())[1:].argmax())


def _lobules(canvas: Canvas, grid: Grid) -> Tensor:
    """Noise with narrow clefts between rounded lobules, as fat runs into the gland's surface."""
    rounded = canvas.noise(grid, 7).abs()
    return 0.9 - 1.3 * rounded + 0.5 * canvas.noise(grid, 12)
