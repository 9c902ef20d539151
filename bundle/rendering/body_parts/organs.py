"""Solid organs of a procedural body: kidneys, adrenals, spleen, liver, gallbladder, heart."""

from __future__ import annotations

import torch
from torch import Tensor

from bundle.rendering.body_parts.habitus import Habitus
from bundle.rendering.body_parts.trunk import Trunk
from bundle.rendering.draws import bounded_normal, uniform
from bundle.rendering.shapes import (
    Canvas,
    Grid,
    Point,
    draw_tube,
    ellipsoid,
    jitter,
    smooth_max,
    smooth_step,
    spline,
    tube,
    tube_grid,
)
from bundle.rendering.tissues import Tissue


def draw_kidneys(canvas: Canvas, habitus: Habitus, aorta: Point) -> dict[int, Point]:
    """Draw both kidneys with sinus fat and vessels; their centres by side (-1 left, +1 right)."""
    generator = canvas.generator
    centres = {}
    size = uniform(generator, 0.86, 1.11)
    for side in (-1, 1):
        lift = uniform(generator, 2, 16) if side < 0 else -uniform(generator, 4, 18)
        x = side * (64 * habitus.width_scale + 4 * size + bounded_normal(generator, 3))
        centre = (x, habitus.back + 30 + uniform(generator, 0, 6) + 6 * habitus.depth_scale, lift - 10 - habitus.droop)
        _draw_kidney(canvas, centre, side, size * uniform(generator, 0.93, 1.07))
        _draw_renal_vessels(canvas, centre, side, aorta, size)
        _draw_adrenal(canvas, centre, side, size)
        centres[side] = centre
    return centres


def _draw_kidney(canvas: Canvas, centre: Point, side: int, size: float) -> None:
    """Draw one kidney: a bent, tapered tube, its upper pole turned inwards and back, hollowed at the hilum by fat."""
    x, y, z = centre
    half = 30 * size
    girth = 25.5 * size
    curve = spline(
        [
            (x - side * 9, y - 5, z + half, girth * 0.86),
            (x + side * 2, y, z + 6, girth),
            (x + side * 6, y + 4, z - half, girth * 0.9),
        ],
        6,
    )
    grid = tube_grid(canvas, curve, 4)
    field = tube(canvas, grid, curve, 8) + 1.2 * canvas.noise(grid, 32)
    flat = ((grid.y - y - 0.1 * (z - grid.z)) / (1.02 * girth)) ** 2 * 6
    field = field + flat - 3
    hilum = ellipsoid(grid, (x - side * 21 * size, y + 7 * size, z), (17 * size, 12 * size, 22 * size))
    hilum = hilum + 2.5 * canvas.noise(grid, 10)
    sinus = ellipsoid(grid, (x - side * 8 * size, y + 3 * size, z), (9 * size, 7 * size, 19 * size))
    hollow = torch.minimum(hilum, sinus + 3.0 * canvas.noise(grid, 9))
    tissue = Tissue.KIDNEY_LEFT if side < 0 else Tissue.KIDNEY_RIGHT
    canvas.paint(grid, (field < 0) & (hollow > 0), tissue)


def _draw_renal_vessels(canvas: Canvas, centre: Point, side: int, aorta: Point, size: float) -> None:
    """Draw renal artery and vein; the left vein crosses in front of the aorta."""
    x, y, z = centre
    inner = (x - side * 15 * size, y + 6, z)
    target = aorta[0] if side < 0 else aorta[0] + 4
    artery = [(target, aorta[1] - 2, z + 8, 2.6), (x - side * 34, y + 6, z + 6, 2.3), (*inner, 1.8)]
    draw_tube(canvas, artery, Tissue.ARTERIES, (Tissue.FAT, Tissue.MUSCLE))
    bridge = (aorta[0], aorta[1] + 16, z + 8, 3.6) if side < 0 else (aorta[0] + 24, aorta[1] - 4, z + 4, 4.5)
    vein = [(aorta[0] + 20, aorta[1], z + 6, 4.5), bridge, (x - side * 30, y + 11, z + 2, 4.5), (*inner, 2.8)]
    draw_tube(canvas, vein, Tissue.OTHER_VEINS, (Tissue.FAT, Tissue.MUSCLE))


def _draw_adrenal(canvas: Canvas, centre: Point, side: int, size: float) -> None:
    """Draw an adrenal gland: two thin limbs from one ridge, above and inside of the upper pole."""
    x, y, z = centre
    top = z + 50 * size
    ridge = (x - side * 28, y + 18, top)
    for limb in (-1, 1):
        tip = (x - side * (28 - 7 * limb), y + 2, top - 8)
        draw_tube(canvas, [(*ridge, 2.8), (*tip, 1.8)], Tissue.ADRENAL_GLANDS, stretch_z=5.0)


def draw_spleen(canvas: Canvas, habitus: Habitus, trunk: Trunk, kidney: Point) -> None:
    """Draw the spleen on the left side of the back wall under the diaphragm, hollow towards stomach and kidney."""
    generator = canvas.generator
    size = uniform(generator, 0.92, 1.3)
    z = uniform(generator, 30, 58) * habitus.height - habitus.droop
    reach = habitus.half_width * 0.93 * 0.92
    centre = (-reach + 24 * size, -2 + bounded_normal(generator, 7), z)
    radii = (30 * size, 50 * size, 50 * size * uniform(generator, 0.85, 1.15))
    grid = canvas.grid([c - 62 * size for c in centre], [c + 62 * size for c in centre])
    body = ellipsoid(grid, centre, radii, (uniform(generator, 0.2, 0.7), 0, uniform(generator, -0.3, 0.2)))
    hollow = ellipsoid(grid, (centre[0] + 42 * size, centre[1] + 26, z + 4), (30 * size, 34, 46))
    field = smooth_max(body + 2.0 * canvas.noise(grid, 34), -hollow, 8)
    field = smooth_max(field, _enclosed(grid, trunk, 4.0), 8)
    field = smooth_max(field, -_renal_bed(grid, kidney), 6)
    canvas.paint(grid, field < 0, Tissue.SPLEEN)


def draw_liver(canvas: Canvas, habitus: Habitus, trunk: Trunk, kidney: Point) -> None:
    """Draw the liver: filling the right dome, with a wedge of left lobe in front of the stomach, hollow below."""
    generator = canvas.generator
    lowest = uniform(generator, -85, -5) * habitus.height - habitus.droop
    grid = canvas.grid((-habitus.half_width, habitus.back, lowest - 50), None)
    middle = uniform(generator, 20, 42) * habitus.height - habitus.droop
    leftmost = uniform(generator, -100, -25) * habitus.width_scale
    across = smooth_step(grid.x, 15, 0.75 * habitus.half_width)
    floor = middle + (lowest - middle) * across + 0.35 * (-grid.x - 10).clamp(min=0)
    centre_y = 0.45 * habitus.front
    floor = floor - uniform(generator, 0.15, 0.5) * (grid.y - centre_y).clamp(-45, 40)
    wave = canvas.noise(grid, 55)
    field = smooth_max(floor - grid.z + 4.5 * wave + 2.0 * canvas.noise(grid, 24), _enclosed(grid, trunk, 3.0), 12)
    field = smooth_max(field, _left_lobe(grid, habitus, leftmost, generator) + 6 * wave, 10)
    caudate = jitter(generator, (9, 38 + 6 * habitus.depth_scale, 52 * habitus.height - habitus.droop), 3)
    field = torch.minimum(field, ellipsoid(grid, caudate, (14, 11, uniform(generator, 15, 25))))
    field = smooth_max(field, -_renal_bed(grid, kidney), 6)
    canvas.paint(grid, (field < 0) & ~canvas.behind(grid, (Tissue.PANCREAS,), 3.0), Tissue.LIVER)
    _draw_hepatic_veins(canvas, habitus)


def _left_lobe(grid: Grid, habitus: Habitus, leftmost: float, generator: torch.Generator) -> Tensor:
    """Signed distance to the space that the liver may take left of the vena cava: in front, thinner leftwards."""
    start = uniform(generator, 38, 50) * habitus.depth_scale
    share = ((15 - grid.x) / (15 - leftmost)).clamp(0, 1.3)
    back = start + (0.95 * habitus.front - start) * share ** uniform(generator, 1.2, 2.2)
    back = back - 110 * smooth_step(grid.x, 12, 34)
    return (back - grid.y) * 0.85


def _draw_hepatic_veins(canvas: Canvas, habitus: Habitus) -> None:
    """Draw three hepatic veins within the liver, meeting at the vena cava."""
    generator = canvas.generator
    root = (14.0, 34.0, 88 * habitus.height - habitus.droop)
    for way in ((62, -8, -22), (42, 42, -20), (-28, 40, -12)):
        end = jitter(generator, [r + w for r, w in zip(root, way, strict=True)], 7)
        middle = jitter(generator, [(a + b) / 2 + 3 for a, b in zip(root, end, strict=True)], 4)
        draw_tube(canvas, [(*root, 4.5), (*middle, 3.5), (*end, 2.0)], Tissue.OTHER_VEINS, (Tissue.LIVER,))


def draw_gallbladder(canvas: Canvas, habitus: Habitus) -> None:
    """Draw the gallbladder under the liver, right of the duodenum; one body in seven has none."""
    generator = canvas.generator
    if uniform(generator, 0, 1) < 1 / 7:
        return
    neck = jitter(generator, habitus.place(52, 62, 26), 5)
    fundus = jitter(generator, habitus.place(70, 100, -14), 9)
    middle = [(a + b) / 2 for a, b in zip(neck, fundus, strict=True)]
    size = uniform(generator, 7, 17)
    points = [(*neck, 3.0), (*middle, size * 0.85), (*fundus, size)]
    draw_tube(canvas, points, Tissue.GALLBLADDER, roughness_mm=0.8)


def draw_heart(canvas: Canvas, habitus: Habitus, trunk: Trunk) -> None:
    """Draw what the scan shows of the heart, resting on the diaphragm left of the middle."""
    generator = canvas.generator
    floor = float(trunk.dome_mm[canvas.tissues.shape[0] // 2].median())
    centre = (-22 + bounded_normal(generator, 6), 0.55 * habitus.front, floor + 42)
    radii = (58 * habitus.width_scale, 0.36 * habitus.front + 12, 46)
    grid = canvas.grid([c - 75 for c in centre], [c + 75 for c in centre])
    field = ellipsoid(grid, centre, radii, (0, 0.3, 0.5)) + 3 * canvas.noise(grid, 40)
    field = torch.maximum(field, 3 - trunk.ceiling(grid))
    field = torch.maximum(field, trunk.wall_mm[grid.slices] + 6)
    canvas.paint(grid, field < 0, Tissue.HEART, (Tissue.FAT, Tissue.LUNG))


def _renal_bed(grid: Grid, kidney: Point) -> Tensor:
    """About the signed distance to the kidney with its hilum and the fat around, its upper pole turned inwards."""
    return ellipsoid(grid, kidney, (31, 27, 56), (0, 0.12 if kidney[0] > 0 else -0.12, 0))


def _enclosed(grid: Grid, trunk: Trunk, gap_mm: float) -> Tensor:
    """Signed distance to the cavity below the diaphragm, smaller by a gap."""
    return smooth_max(trunk.wall_mm[grid.slices], trunk.ceiling(grid) * 0.8, 14) + gap_mm
