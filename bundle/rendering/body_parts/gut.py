"""Hollow organs of a procedural body: oesophagus, stomach, duodenum, small bowel, colon."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from bundle.rendering.body_parts.habitus import Habitus
from bundle.rendering.body_parts.trunk import Trunk
from bundle.rendering.body_parts.vessels import Vessels
from bundle.rendering.draws import bounded_normal, uniform
from bundle.rendering.shapes import Canvas, Grid, Point, draw_tube, jitter, spline, tube
from bundle.rendering.tissues import Tissue

_RETROPERITONEUM = (
    Tissue.PANCREAS,
    Tissue.DUODENUM,
    Tissue.AORTA,
    Tissue.VENA_CAVA,
    Tissue.KIDNEY_LEFT,
    Tissue.KIDNEY_RIGHT,
)


@dataclass(frozen=True)
class Duodenum:
    """Where the duodenum runs, in mm: the pylorus, the middle of its descending part, its flexures, its end."""

    pylorus: Point
    upper: Point
    middle: Point
    lower: Point
    end: Point
    radius: float


def draw_duodenum(canvas: Canvas, habitus: Habitus, vessels: Vessels, head_mm: float) -> Duodenum:
    """Draw the duodenal C around a head of the pancreas about ``head_mm`` wide.

    From the pylorus back and to the right, down beside the head, to the left between mesenteric vessels and aorta, and
    up to the flexure left of the aorta.
    """
    generator = canvas.generator
    radius = uniform(generator, 8.0, 13.0)
    x, y, z = vessels.confluence
    outer = x + 8 + head_mm + radius
    length = uniform(generator, 48, 78) * habitus.height
    back = y - uniform(generator, 8, 16) * habitus.depth_scale
    upper = jitter(generator, (outer - 4, back + 4, z + uniform(generator, 8, 20)), 2)
    middle = jitter(generator, (outer, back - 3, z - 0.4 * length), 2)
    lower = jitter(generator, (outer - 8, back - 7, z - length), 3)
    pylorus = jitter(generator, (outer - 22, y + max(18 * habitus.depth_scale, 0.6 * head_mm + 4), z + 8), 4)
    crossing = (x - 8, y - 15 * max(habitus.depth_scale, 0.8), z - length - uniform(generator, 2, 14))
    end = jitter(generator, (x - 50, y - 3, z - 0.45 * length), 5)
    points = [
        (*pylorus, radius * 1.1),
        (outer - 10, back + 11, z + 14, radius * 1.15),
        (*upper, radius),
        (*middle, radius * 1.05),
        (*lower, radius),
        (x + 12, crossing[1] + 2, crossing[2] - 2, radius * 0.85),
        (*crossing, radius * 0.8),
        (x - 40, y - 8, z - 0.9 * length, radius * 0.85),
        (*end, radius * 0.9),
    ]
    draw_tube(canvas, points, Tissue.DUODENUM, roughness_mm=1.0)
    return Duodenum(pylorus, upper, middle, lower, end, radius)


def draw_oesophagus(canvas: Canvas, habitus: Habitus, aorta_front_mm: float) -> None:
    """Draw the oesophagus, in front of the aorta and then to the left into the stomach."""
    entry = jitter(canvas.generator, habitus.place(-22, 44, 74), 4)
    front = aorta_front_mm + 6
    path = [(-5, front - 2, habitus.top + 10, 7), (-10, front + 2, entry[2] + 26, 7.5), (*entry, 8)]
    draw_tube(canvas, path, Tissue.OESOPHAGUS, (Tissue.FAT, Tissue.MUSCLE), 0.6)


def draw_stomach(canvas: Canvas, habitus: Habitus, trunk: Trunk, pylorus: Point) -> None:
    """Draw the stomach: fundus under the left dome, body down the left front, antrum across to the pylorus."""
    generator = canvas.generator
    fill = uniform(generator, 0.55, 1.15)
    sag = uniform(generator, -5, 45)
    fundus = jitter(generator, habitus.place(-58, 22, 86), 6)
    upper = jitter(generator, habitus.place(-66, 52, 55), 6)
    body = jitter(generator, habitus.place(-62, 84, 18), 7)
    knee = jitter(generator, habitus.place(-34, 98, -8 - sag), 7)
    antrum = jitter(generator, habitus.place(0, 98, -14 - 0.6 * sag), 6)
    points = [
        (*fundus, 33 * fill),
        (*upper, 33 * fill),
        (*body, 28 * fill),
        (*knee, 23 * fill),
        (*antrum, 17 * fill + 3),
        (*[0.75 * p + 0.25 * a for p, a in zip(pylorus, antrum, strict=True)], 12),
        (*pylorus, 8),
    ]
    curve = spline(points, 6)
    _draw_enclosed_tube(canvas, trunk, curve, Tissue.STOMACH, 2.2, 30, (Tissue.PANCREAS, Tissue.KIDNEY_LEFT))


def draw_colon(canvas: Canvas, habitus: Habitus, trunk: Trunk) -> None:
    """Draw the colon's frame with its haustra: caecum, ascending, transverse (sagging), descending part."""
    generator = canvas.generator
    size = uniform(generator, 0.65, 1.2)
    side = 0.88 * habitus.half_width / habitus.width_scale
    sag = uniform(generator, 0, 75)
    flexure_z = uniform(generator, 8, 45)
    front = 112
    landmarks = [
        (side - 18, 32, -140, 25),
        (side - 12, 24, -90, 23),
        (side - 14, 26, -48, 22),
        (side - 18, 58, -26, 21),
        (44, front, -34 - 0.6 * sag, 20),
        (0, front + 2, -38 - sag, 19),
        (-44, front - 4, -24 - 0.7 * sag, 19),
        (-side + 24, 66, flexure_z - 14, 19),
        (-side + 10, 18, flexure_z, 18),
        (-side + 12, 6, flexure_z - 40, 15),
        (-side + 12, 8, -60, 15),
        (-side + 20, 20, -130, 14),
        (-side + 34, 34, -185, 14),
    ]
    points = [(*jitter(generator, habitus.place(x, y, z), 6), r * size) for x, y, z, r in landmarks]
    curve = spline(points, 5)
    beat = torch.arange(len(curve)) * 5 / uniform(generator, 24, 34) * 2 * torch.pi
    curve[:, 3] *= 1 + 0.13 * torch.sin(beat)
    _draw_enclosed_tube(canvas, trunk, curve, Tissue.BOWEL, 1.8, 14, _RETROPERITONEUM)


def draw_small_bowel(canvas: Canvas, habitus: Habitus, trunk: Trunk, flexure: Point) -> None:
    """Draw loops of small bowel: jejunum from the flexure under the gland's body, the others wherever there is room.

    Loops grow by random walks and are parted by thin seams of mesenteric fat where two of them meet.
    """
    generator = canvas.generator
    lower_mm = (-habitus.half_width, -25, habitus.bottom - 30)
    grid = canvas.grid(lower_mm, (habitus.half_width, habitus.front, flexure[2] + 35))
    nearest = torch.full(grid.shape, 1000.0)
    second = torch.full(grid.shape, 1000.0)
    calibre = uniform(generator, 8.5, 13.0)
    for start in _loop_starts(generator, habitus, flexure):
        curve = _random_walk(generator, start, habitus, calibre * uniform(generator, 0.7, 1.25))
        _merge_nearest(nearest, second, canvas, grid, curve)
    # A seam thinner than a voxel would be a row of dots, so it is a voxel wide or, where loops cling, absent.
    seam_mm = 1.7 * canvas.spacing_mm * (canvas.noise(grid, 40) > uniform(generator, -1.2, 0.3))
    loops = (nearest < 0) & (second - nearest > seam_mm)
    loops &= trunk.wall_mm[grid.slices] < -3
    loops &= grid.y > 45 * torch.exp(-((grid.x / 58) ** 4))  # no loop lies beside spine and aorta
    loops &= _gap_to_organs(canvas, grid) & ~canvas.behind(grid, _RETROPERITONEUM, 1.5)
    canvas.paint(grid, loops, Tissue.BOWEL)


def _loop_starts(generator: torch.Generator, habitus: Habitus, flexure: Point) -> list[Point]:
    """Where loops begin: four at the duodenojejunal flexure and left of it, the rest spread over the lower abdomen."""
    starts = [jitter(generator, (flexure[0] - 14 * k, flexure[1] + 8, flexure[2] - 4 - 8 * k), 4) for k in range(4)]
    spread = int(uniform(generator, 34, 60))
    for _ in range(spread):
        x = uniform(generator, -0.72, 0.66) * habitus.half_width
        y = uniform(generator, 0.3, 0.95) * habitus.front
        high = -30.0 if x < 20 else -55.0
        z = uniform(generator, habitus.bottom - 10, high * habitus.height - habitus.droop)
        starts.append((x, y, z))
    return starts


def _random_walk(generator: torch.Generator, start: Point, habitus: Habitus, radius: float) -> Tensor:
    """A winding (N, 4) curve of about 120 mm that turns back at the edges of the bowel's room."""
    position = torch.tensor(start)
    way = torch.nn.functional.normalize(torch.randn(3, generator=generator), dim=0)
    low = torch.tensor([-0.8 * habitus.half_width, 8.0, habitus.bottom - 20])
    high = torch.tensor([0.75 * habitus.half_width, habitus.front - radius, start[2] + 18])
    points = []
    for _ in range(6):
        points.append((*position.tolist(), radius * (1 + bounded_normal(generator, 0.12))))
        turn = 0.75 * torch.randn(3, generator=generator)
        way = torch.nn.functional.normalize(way + turn, dim=0)
        ahead = position + 24 * way
        way = torch.where((ahead < low) | (ahead > high), -way, way)
        position = position + 24 * way
    return spline(points, 8)


def _merge_nearest(nearest: Tensor, second: Tensor, canvas: Canvas, grid: Grid, curve: Tensor) -> None:
    """Bring one loop into the fields of the nearest and the second nearest loop's distance."""
    reach = (curve[:, 3:] + 3).expand(-1, 3)
    low, high = (curve[:, :3] - reach).amin(0), (curve[:, :3] + reach).amax(0)
    part = canvas.grid(low.tolist(), high.tolist())
    slices = []
    for inner, outer in zip(part.slices, grid.slices, strict=True):
        first, last = max(inner.start, outer.start), min(inner.stop, outer.stop)
        if last <= first:
            return
        slices.append(slice(first, last))
    local = tuple(slice(s.start - o.start, s.stop - o.start) for s, o in zip(slices, grid.slices, strict=True))
    box = Grid((slices[0], slices[1], slices[2]), grid.x[local[0]], grid.y[:, local[1]], grid.z[:, :, local[2]])
    field = tube(canvas, box, curve, 3)
    old = nearest[local]
    second[local] = torch.minimum(second[local], torch.maximum(old, field))
    nearest[local] = torch.minimum(old, field)


def _gap_to_organs(canvas: Canvas, grid: Grid) -> Tensor:
    """Voxels not next to a voxel of the colon, which keeps a seam between it and the loops."""
    colon = (canvas.tissues[grid.slices] == Tissue.BOWEL).float()[None, None]
    return torch.nn.functional.max_pool3d(colon, 3, stride=1, padding=1)[0, 0] == 0


def _draw_enclosed_tube(
    canvas: Canvas,
    trunk: Trunk,
    curve: Tensor,
    tissue: Tissue,
    roughness_mm: float,
    wavelength_mm: float,
    behind: Sequence[Tissue],
) -> None:
    """Draw a wide tube, flattened where it meets the wall or the diaphragm, never behind certain tissues."""
    margin_mm = 2.5 * roughness_mm
    reach = curve[:, 3:] + margin_mm
    grid = canvas.grid(_corner((curve[:, :3] - reach).amin(0)), _corner((curve[:, :3] + reach).amax(0)))
    field = tube(canvas, grid, curve, margin_mm) + roughness_mm * canvas.noise(grid, wavelength_mm)
    inside = (trunk.wall_mm[grid.slices] < -3.5) & (trunk.ceiling(grid) < -4)
    canvas.paint(grid, (field < 0) & inside & ~canvas.behind(grid, behind), tissue)


def _corner(values: Tensor) -> Sequence[float]:
    return values.tolist()
