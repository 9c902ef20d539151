"""Trunk of a procedural body: wall, fat, diaphragm, lungs, spine, ribs, iliac wings, psoas."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from bundle.rendering.body_parts.habitus import Habitus
from bundle.rendering.draws import bounded_normal, uniform
from bundle.rendering.shapes import Canvas, Grid, draw_tube, ellipsoid, smooth_step
from bundle.rendering.tissues import Tissue

VERTEBRA_MM = 34.0
"""Standard distance from one lumbar disc to the next."""

_POLAR_CENTRE_SHARE = 0.42  # height of the polar centre between back and front of the cavity


@dataclass(frozen=True)
class Trunk:
    """Fields that organs lean on, (X, Y, Z) over the whole canvas.

    Args:
        wall_mm: about the signed distance to the wall of the cavity, negative inside.
        dome_mm: height (z) of the diaphragm above a voxel's (x, y), (X, Y, 1).
    """

    wall_mm: Tensor
    dome_mm: Tensor

    def ceiling(self, grid: Grid) -> Tensor:
        """Signed distance to the diaphragm over a grid, negative below it."""
        x, y, _ = grid.slices
        return grid.z - self.dome_mm[x, y]


def make_canvas(habitus: Habitus, spacing_mm: float, generator: torch.Generator) -> Canvas:
    """An empty canvas around a body, with some air on each side."""
    muscle, fat = 26 * habitus.muscle, 2.0 * habitus.fat
    side = habitus.half_width + muscle + fat + 12
    lower = (-side, habitus.back - 62 - fat, habitus.bottom)
    return Canvas(lower, (side, habitus.front + 22 + fat, habitus.top), spacing_mm, generator)


def draw_trunk(canvas: Canvas, habitus: Habitus) -> Trunk:
    """Draw everything that encloses the organs; fat fills the cavity."""
    grid = canvas.grid()
    centre_y = habitus.back + _POLAR_CENTRE_SHARE * (habitus.front - habitus.back)
    around = _Around.of(grid, centre_y)
    cavity, slope = _cavity_radius(canvas, habitus, around)
    wall_mm = (around.radius - cavity).mul_(slope)
    muscle_mm = _muscle_thickness(canvas, habitus, around)
    fat_mm = _fat_thickness(canvas, habitus, around)
    _draw_layers(canvas, wall_mm, muscle_mm, fat_mm)
    # A wedge of fat parts the back muscles from the flank's.
    wedge = (around.angle - 0.74).abs() < 0.09 * ((wall_mm - 7) / 14).clamp(0, 1)
    canvas.paint(grid, wedge, Tissue.SUBCUTANEOUS_FAT, (Tissue.MUSCLE,))
    dome_mm = _dome(canvas, habitus, grid, around, wall_mm)
    trunk = Trunk(wall_mm, dome_mm)
    _draw_chest(canvas, grid, trunk)
    _draw_ribs(canvas, habitus, grid, around, wall_mm, muscle_mm)
    _draw_iliac_wings(canvas, habitus, grid, around, wall_mm)
    _draw_spine(canvas, habitus)
    _draw_psoas(canvas, habitus)
    return trunk


@dataclass(frozen=True)
class _Around:
    """Polar coordinates of the columns: radius and angle from the back (0) over the side to the front (pi)."""

    radius: Tensor  # (X, Y, 1)
    angle: Tensor  # (X, Y, 1), the same on both sides
    side: Tensor  # (X, Y, 1), sine of the signed angle: +1 right, -1 left

    @staticmethod
    def of(grid: Grid, centre_y: float) -> _Around:
        dy = grid.y - centre_y
        radius = (grid.x**2 + dy**2).sqrt().clamp(min=1e-3)
        return _Around(radius, torch.atan2(grid.x.abs().expand_as(radius), -dy.expand_as(radius)), grid.x / radius)

    def harmonics(self, canvas: Canvas, levels: int, deviation: float) -> Tensor:
        """Smooth random function of angle and height, (X, Y, Z), left and right alike but for one part."""
        shapes = [torch.cos(k * self.angle) for k in range(levels)] + [self.side]
        deviations = [deviation / (1 + k) for k in range(levels)] + [deviation / 3]
        count = self.radius.shape[0] * self.radius.shape[1]
        heights = _slow_in_z(canvas, len(shapes)) * torch.tensor(deviations)[:, None]
        basis = torch.stack([s.flatten() for s in shapes], dim=1)
        return (basis @ heights).reshape(*self.radius.shape[:2], -1) if count else torch.empty(0)


def _slow_in_z(canvas: Canvas, rows: int) -> Tensor:
    """Random functions of height, (rows, Z), changing over about 120 mm."""
    size = len(canvas.axes[2])
    knots = torch.randn((1, rows, max(3, round(size * canvas.spacing_mm / 120) + 1)), generator=canvas.generator)
    return torch.nn.functional.interpolate(knots, size=size, mode="linear", align_corners=True)[0]


def _cavity_radius(canvas: Canvas, habitus: Habitus, around: _Around) -> tuple[Tensor, Tensor]:
    """Radius of the cavity (X, Y, Z), and the cosine between radius and normal (X, Y, 1)."""
    generator = canvas.generator
    centre_y = habitus.back + _POLAR_CENTRE_SHARE * (habitus.front - habitus.back)
    exponent = uniform(generator, 2.1, 2.7)
    angles = torch.linspace(0, math.pi, 181)
    half_depth = torch.where(angles < math.pi / 2, centre_y - habitus.back, habitus.front - centre_y)
    table = ((angles.sin().abs() / habitus.half_width) ** exponent + (angles.cos().abs() / half_depth) ** exponent) ** (
        -1 / exponent
    )
    slope = torch.gradient(table, spacing=(angles[1].item(),))[0] / table
    index = (around.angle * (180 / math.pi)).round().long()
    z = canvas.axes[2]
    waist = uniform(generator, 0.0, 0.10) * torch.exp(-(((z + 60) / 50) ** 2)) + 0.10 * smooth_step(z, 60, 190)
    base = table[index] * (1 - waist)
    return base * (1 + around.harmonics(canvas, 4, 0.02)), (1 / (1 + slope**2).sqrt())[index]


def _muscle_thickness(canvas: Canvas, habitus: Habitus, around: _Around) -> Tensor:
    """Thickness of the muscle wall (X, Y, Z): thick at the back, thin in front of the belly."""
    angle = around.angle
    back = 34 * torch.exp(-((angle / 0.70) ** 4)) - 6 * torch.exp(-((angle / 0.10) ** 2))
    flank = 11 + 7 * torch.exp(-(((angle - 1.15) / 0.5) ** 2))
    front = 3 * torch.exp(-(((angle - 2.8) / 0.25) ** 2)) - 6 * torch.exp(-(((angle - math.pi) / 0.08) ** 2))
    base = (back + flank + front) * (0.45 + 0.55 * habitus.muscle)
    return (base * (1 + around.harmonics(canvas, 4, 0.06))).clamp(min=3)


def _fat_thickness(canvas: Canvas, habitus: Habitus, around: _Around) -> Tensor:
    """Thickness of the fat under the skin (X, Y, Z), more on the belly's front and flanks and towards the hips."""
    generator = canvas.generator
    z = canvas.axes[2]
    low = 1 + 0.35 * smooth_step(z, 60, -120) - 0.25 * smooth_step(z, 40, 150)
    belly = uniform(generator, -0.2, 0.5) * smooth_step(around.angle, 1.6, 2.8)
    loin = uniform(generator, 0.1, 0.6) * torch.exp(-(((around.angle - 0.8) / 0.35) ** 2))
    spread = 0.75 + belly + loin + around.harmonics(canvas, 5, 0.14)
    between_recti = 5 * torch.exp(-(((around.angle - math.pi) / 0.10) ** 2))
    return (habitus.fat * low * spread).clamp(min=0.8, max=42) + between_recti


def _draw_layers(canvas: Canvas, wall_mm: Tensor, muscle_mm: Tensor, fat_mm: Tensor) -> None:
    """Skin, fat under it, muscle, fat in the cavity, from the outside in."""
    tissues = canvas.tissues
    skin_mm = max(1.8, 1.05 * canvas.spacing_mm)
    outer = muscle_mm + fat_mm
    tissues[wall_mm < outer + skin_mm] = int(Tissue.SKIN)
    tissues[wall_mm < outer] = int(Tissue.SUBCUTANEOUS_FAT)
    tissues[wall_mm < muscle_mm] = int(Tissue.MUSCLE)
    tissues[wall_mm < 0] = int(Tissue.FAT)


def _dome(canvas: Canvas, habitus: Habitus, grid: Grid, around: _Around, wall_mm: Tensor) -> Tensor:
    """Height of the diaphragm over each column (X, Y, 1): two domes, the right one higher, deep recesses behind."""
    generator = canvas.generator
    level = int((60 - canvas.lower_mm[2]) / canvas.spacing_mm)
    inside = (-wall_mm[:, :, level : level + 1]).clamp(min=0)
    crown = uniform(generator, 108, 128) * habitus.height - habitus.droop
    crown = min(crown, habitus.top - 12)
    left_drop = uniform(generator, 6, 18) * smooth_step(grid.x, 20, -30)
    saddle = uniform(generator, 10, 20) * torch.exp(-(((grid.x + 8) / 22) ** 2))
    rim_back, rim_front = uniform(generator, 0, 30), uniform(generator, 60, 85)
    rim = (rim_back + (rim_front - rim_back) * smooth_step(around.angle, 0.4, 2.6)) * habitus.height - habitus.droop
    rise = 1 - torch.exp(-inside / uniform(generator, 16, 24))
    steep = 1 - (1 - rise) ** 1.3
    columns = Grid(grid.slices, grid.x, grid.y, grid.z[:, :, :1])
    return rim + (crown - left_drop - saddle - rim) * steep + 2.0 * canvas.noise(columns, 60)


def _draw_chest(canvas: Canvas, grid: Grid, trunk: Trunk) -> None:
    """Lungs above the diaphragm, with the mediastinum (fat) between them, and the diaphragm's muscle."""
    above = trunk.ceiling(grid)
    cavity = trunk.wall_mm < -1.5
    width = 20 + 12 * smooth_step(grid.y, 20, 90)
    mediastinum = (grid.x + 6).abs() < width
    mediastinum = mediastinum & (grid.y > -14)
    canvas.paint(grid, (above > 0) & cavity & ~mediastinum, Tissue.LUNG)
    canvas.paint(grid, (above > -2.4) & (above <= 0.6) & (trunk.wall_mm < 0), Tissue.MUSCLE)


def _draw_ribs(
    canvas: Canvas, habitus: Habitus, grid: Grid, around: _Around, wall_mm: Tensor, muscle_mm: Tensor
) -> None:
    """Ribs in the middle of the wall: from the spine down and forward, the cartilage in front rising again."""
    generator = canvas.generator
    pitch = uniform(generator, 24, 28) * habitus.height
    lowest = 22 * habitus.height + bounded_normal(generator, 6)
    fall = uniform(generator, 50, 80)
    angle = around.angle
    drop = fall * smooth_step(angle, 0.05, 2.0) * (angle / 2.0).clamp(max=1) - 60 * smooth_step(angle, 1.9, 3.1)
    height = (grid.z + drop - lowest) / pitch
    number = height.round()
    ends = 1.05 + 0.42 * number + 0.05 * torch.sin(5 * number)
    middle = 0.5 * muscle_mm.clamp(max=17) + 7 * torch.exp(-((angle / 0.5) ** 2))
    thick = 0.5 * uniform(generator, 7, 9)
    shape = ((height - number) * pitch / (1.55 * thick)) ** 2 + ((wall_mm - middle) / thick) ** 2
    rib = (shape < 1) & (number >= 0) & (angle < ends) & (angle > 0.28)
    bony = angle < 1.75 + 0.1 * number
    over = (Tissue.MUSCLE, Tissue.SUBCUTANEOUS_FAT)
    canvas.paint(grid, rib & bony, Tissue.BONE, over)
    canvas.paint(grid, rib & ~bony & (angle < 2.95), Tissue.CARTILAGE, over)


def _draw_iliac_wings(canvas: Canvas, habitus: Habitus, grid: Grid, around: _Around, wall_mm: Tensor) -> None:
    """Iliac wings: curved plates in the wall at the sides of the back, below the crest."""
    generator = canvas.generator
    crest = (-106 + bounded_normal(generator, 8)) * habitus.height - 22 * ((around.angle - 0.95) / 0.55) ** 2
    below = (crest - grid.z).clamp(min=0)
    plate = ((wall_mm - 7 + 0.30 * below) / (3.5 + 3 * torch.exp(-below / 12))).abs() < 1
    sector = (around.angle > 0.45) & (around.angle < 1.55)
    iliacus = (wall_mm > -12 - 0.30 * below) & (below > 12)
    outside = wall_mm > 7 - 0.30 * below
    canvas.paint(grid, sector & (iliacus | outside) & (below > 0), Tissue.MUSCLE)
    canvas.paint(grid, plate & sector & (grid.z < crest), Tissue.BONE, (Tissue.MUSCLE, Tissue.FAT))


def _draw_spine(canvas: Canvas, habitus: Habitus) -> None:
    """Vertebrae with discs, canal and processes, over everything."""
    generator = canvas.generator
    pitch = VERTEBRA_MM * habitus.height
    size = uniform(generator, 0.9, 1.12)
    lordosis, lean = uniform(generator, 0, 10), bounded_normal(generator, 4)
    first = math.floor((habitus.bottom) / pitch) - 1
    last = math.ceil((habitus.top) / (0.85 * pitch)) + 1
    bottom = 0.0
    levels = [(k, k * pitch, pitch) for k in range(first, 0)]
    for k in range(last + 1):  # thoracic vertebrae are lower
        height = pitch * max(0.78, 1 - 0.04 * k)
        levels.append((k, bottom, height))
        bottom += height
    for k, z, height in levels:
        bend = ((z + 40) / 120) ** 2
        centre = (lean * z / 200, lordosis * (0.5 - bend), z + height / 2)
        _draw_vertebra(canvas, centre, height, size * (1 - 0.022 * k), lumbar=k <= 1)


def _draw_vertebra(
    canvas: Canvas, centre: tuple[float, float, float], height: float, size: float, lumbar: bool
) -> None:
    """One vertebral body with the disc below it, arch and processes."""
    x, y, z = centre
    wide, deep = 23.0 * size, 16.5 * size
    grid = canvas.grid((x - 58, y - 72, z - height * 0.95), (x + 58, y + 24, z + height * 0.6))
    dz = (grid.z - z) / (height / 2)
    waist = 0.90 + 0.10 * dz.clamp(-1.2, 1.2) ** 2
    flat = (((grid.x - x).abs() / wide) ** 2.5 + ((grid.y - y).abs() / deep) ** 2.5) ** 0.4 / waist
    flat = flat + 0.05 * canvas.noise(grid, 14)
    disc = 0.10 if lumbar else 0.07
    column = (flat < 1) & (dz.abs() <= 1.02)
    canal_y = y - deep - 8 * size
    canal = ((grid.x - x) / (10.5 * size)) ** 2 + ((grid.y - canal_y) / (8.5 * size)) ** 2
    arch = (canal < 2.3) & (dz > -0.55) & (dz < 0.85)
    spine_process = ((grid.x - x).abs() < 3.6 + 1.5 * (dz < -0.5)) & (
        (grid.y < canal_y - 6) & (grid.y > canal_y - (34 if lumbar else 30) * size)
    )
    spine_process = spine_process & ((grid.z - (z - 5) - 0.25 * (grid.y - canal_y)).abs() < (9 if lumbar else 7))
    bone = (column & (dz.abs() < 1 - 2 * disc)) | arch | spine_process
    canvas.paint(grid, bone, Tissue.BONE, None)
    canvas.paint(grid, column & (dz.abs() >= 1 - 2 * disc) & (flat < 0.97), Tissue.CARTILAGE, None)
    for side in (-1, 1):
        tip = (x + side * 42 * size, canal_y - 1, z + 2)
        draw_tube(canvas, [(x + side * 14 * size, canal_y + 4, z, 5), (*tip, 3.2)], Tissue.BONE, None)
    canvas.paint(grid, (canal < 1) & (dz.abs() <= 1.02), Tissue.SPINAL_CANAL, None)


def _draw_psoas(canvas: Canvas, habitus: Habitus) -> None:
    """Psoas muscles beside the lumbar spine, thicker downwards, and the crura of the diaphragm."""
    bulk = 0.6 + 0.4 * habitus.muscle
    for side in (-1, 1):
        points = [
            (side * 25, -12, 14, 6 * bulk),
            (side * 31, -11, -25, 13 * bulk),
            (side * 36, -8, -70, 19 * bulk),
            (side * 44, 0, -120, 23 * bulk),
            (side * 54, 14, -190, 23 * bulk),
        ]
        draw_tube(canvas, points, Tissue.MUSCLE, roughness_mm=1.0)
        crus = [(side * 12 - 4, 22, -30, 3.0), (side * 15 - 5, 21, 10, 4.5), (side * 17 - 6, 26, 60, 4.0)]
        draw_tube(canvas, crus, Tissue.MUSCLE)
    for side in (-1, 1):  # quadratus lumborum, in front of the outer edge of the back muscles
        centre = (side * 62, habitus.back + 1, -55)
        grid = canvas.grid((centre[0] - 28, centre[1] - 14, -130), (centre[0] + 28, centre[1] + 14, 25))
        canvas.paint(grid, ellipsoid(grid, centre, (22, 9 * bulk, 75)) < 0, Tissue.MUSCLE)
