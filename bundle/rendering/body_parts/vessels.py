"""Great vessels of a procedural body, and those that the pancreas lies on."""

from __future__ import annotations

from dataclasses import dataclass

from bundle.rendering.body_parts.habitus import SPINE_FRONT_MM, Habitus
from bundle.rendering.draws import bounded_normal, uniform
from bundle.rendering.shapes import Canvas, Point, draw_tube, jitter
from bundle.rendering.tissues import Tissue

_THROUGH = (Tissue.FAT, Tissue.MUSCLE)


@dataclass(frozen=True)
class Vessels:
    """Where the vessels around the pancreas run, in mm.

    Args:
        confluence: where splenic and superior mesenteric vein join, behind the neck of the gland.
        mesenteric_vein: points of the superior mesenteric vein, downwards from the confluence.
        coeliac_fork: where the coeliac trunk gives off the splenic and the hepatic artery.
        vein_radius: of the portal vein.
    """

    confluence: Point
    mesenteric_vein: tuple[Point, ...]
    coeliac_fork: Point
    vein_radius: float


def draw_great_vessels(canvas: Canvas, habitus: Habitus) -> tuple[Point, float]:
    """Draw aorta (left in front of the spine) and vena cava (right); the aorta's centre at the origin, its radius."""
    generator = canvas.generator
    radius = uniform(generator, 7.5, 12.0)
    x, y = -9 + bounded_normal(generator, 4), SPINE_FRONT_MM + radius + 1 + uniform(generator, 0, 3)
    low = -105 * habitus.height
    path = [
        (x - 6, y - 4, habitus.top + 20, radius * 1.15),
        (x - 3, y - 1, 70, radius * 1.1),
        (x, y, 0, radius),
        (x + 2 + bounded_normal(generator, 4), y, -50, radius * 0.9),
        (x + 6, y - 1, low, radius * 0.85),
    ]
    draw_tube(canvas, path, Tissue.AORTA, (*_THROUGH, Tissue.LUNG), 0.4)
    for side in (-1, 1):
        iliac = [(x + 6, y - 1, low + 3, 6.0), (x + 6 + side * 16, y - 4, low - 30, 5.5)]
        iliac.append((x + 4 + side * 40, y - 14, low - 80, 5.0))
        draw_tube(canvas, iliac, Tissue.AORTA, _THROUGH)
    _draw_vena_cava(canvas, habitus, (x, y, 0.0), radius)
    return (x, y, 0.0), radius


def _draw_vena_cava(canvas: Canvas, habitus: Habitus, aorta: Point, aorta_radius: float) -> None:
    """Draw the vena cava from the iliac veins to the heart, flat to round, and the renal veins' stems are left out."""
    generator = canvas.generator
    radius = uniform(generator, 7.5, 12.0)
    x = aorta[0] + aorta_radius + radius + uniform(generator, 2, 7)
    y = SPINE_FRONT_MM + 0.75 * radius + uniform(generator, 0, 4)
    low = -110 * habitus.height
    path = [
        (x - 4, y + 14, habitus.top - 5, radius * 1.1),
        (x, y + 10, 85, radius * 1.15),
        (x + 3, y + 3, 35, radius * 1.1),
        (x, y, -15, radius),
        (x - 3, y - 2, low, radius * 0.95),
    ]
    draw_tube(canvas, path, Tissue.VENA_CAVA, (*_THROUGH, Tissue.LUNG), 0.8)
    for side in (-1, 1):
        iliac = [(x - 3, y - 2, low + 3, 7.0), (x - 6 + side * 20, y - 10, low - 35, 6.5)]
        iliac.append((x - 8 + side * 42, y - 16, low - 80, 6.0))
        draw_tube(canvas, iliac, Tissue.VENA_CAVA, _THROUGH)


def draw_mesenteric_vessels(canvas: Canvas, habitus: Habitus, aorta: Point, aorta_radius: float) -> Vessels:
    """Draw portal and superior mesenteric vein, coeliac trunk, hepatic and superior mesenteric artery."""
    generator = canvas.generator
    radius = uniform(generator, 5.0, 7.5)
    level = -habitus.droop
    front = aorta[1] + aorta_radius
    # The left renal vein and the uncinate process lie in this gap; gland and stomach must still fit before it.
    depth = max(min(21.0 * habitus.depth_scale, habitus.front - 44 - front), 11.0)
    confluence = (aorta[0] + 20 + bounded_normal(generator, 4), front + depth, 2 + level + bounded_normal(generator, 5))
    vein = _draw_portal_system(canvas, habitus, confluence, radius)
    _draw_mesenteric_artery(canvas, habitus, aorta, front, confluence)
    fork = _draw_coeliac(canvas, habitus, aorta, front, confluence, radius)
    return Vessels(confluence, vein, fork, radius)


def _draw_portal_system(canvas: Canvas, habitus: Habitus, confluence: Point, radius: float) -> tuple[Point, ...]:
    """Draw the portal vein up to the liver hilum and the mesenteric vein down; the latter's points."""
    generator = canvas.generator
    x, y, z = confluence
    hilum = jitter(generator, (x + 36 * habitus.width_scale, y - 2, z + 52 * habitus.height), 5)
    portal = [(*confluence, radius), (x + 14, y - 1, z + 22, radius * 1.1), (*hilum, radius)]
    draw_tube(canvas, portal, Tissue.PORTAL_VEINS, roughness_mm=0.3)
    for way in ((38, 2, 18), (-34, 22, 16), (26, 24, 4)):
        end = jitter(generator, (hilum[0] + way[0], hilum[1] + way[1], hilum[2] + way[2]), 5)
        middle = tuple((a + b) / 2 + bounded_normal(generator, 4) for a, b in zip(hilum, end, strict=True))
        draw_tube(canvas, [(*hilum, radius * 0.8), (*middle, radius * 0.6), (*end, 2.0)], Tissue.PORTAL_VEINS)
    down = (
        jitter(generator, (x + 2, y + 1, z - 25 * habitus.height), 2),
        jitter(generator, (x + 3, y + 4, z - 60 * habitus.height), 4),
        jitter(generator, (x + 8, y + 8, z - 105 * habitus.height), 7),
    )
    sizes = (0.85, 0.75, 0.4)
    stem = [(*confluence, radius * 0.95)] + [(*p, radius * s) for p, s in zip(down, sizes, strict=True)]
    draw_tube(canvas, stem, Tissue.PORTAL_VEINS, roughness_mm=0.3)
    for _ in range(9):  # jejunal and ileal branches, to both sides within the mesentery
        root = down[int(uniform(generator, 0, 2.99))]
        side = 1 if uniform(generator, 0, 1) < 0.4 else -1
        tip = jitter(generator, (root[0] + side * 40, root[1] + 12, root[2] - 22), 8)
        draw_tube(canvas, [(*root, 2.6), (*tip, 1.3)], Tissue.PORTAL_VEINS)
    return down


def _draw_mesenteric_artery(canvas: Canvas, habitus: Habitus, aorta: Point, front: float, confluence: Point) -> None:
    """Draw the superior mesenteric artery: out of the aorta behind the gland's neck, then down, left of the vein."""
    generator = canvas.generator
    radius = uniform(generator, 2.6, 4.0)
    start = confluence[2] + uniform(generator, -2, 8)
    x, y = aorta[0] + 1, confluence[1] - 4
    path = [
        (aorta[0], front - 3, start, radius * 1.1),
        (x, front + 6, start - 4, radius),
        (x + 1, 0.5 * (front + y) + 3, start - 24, radius),
        (x + 3 + bounded_normal(generator, 2), y + 2, start - 58 * habitus.height, radius * 0.85),
        (x + 9 + bounded_normal(generator, 4), y + 8, start - 105 * habitus.height, radius * 0.5),
    ]
    draw_tube(canvas, path, Tissue.ARTERIES)


def _draw_coeliac(
    canvas: Canvas, habitus: Habitus, aorta: Point, front: float, confluence: Point, vein_radius: float
) -> Point:
    """Draw the coeliac trunk and the hepatic artery; where the trunk forks."""
    generator = canvas.generator
    level = confluence[2] + uniform(generator, 14, 24) * habitus.height
    fork = (aorta[0] + 2, front + uniform(generator, 10, 20), level + 3)
    draw_tube(canvas, [(aorta[0], front - 3, level, 3.8), (*fork, 3.2)], Tissue.ARTERIES)
    x, y, z = confluence
    bend = (x + 4, y + vein_radius + 4, level)
    hepatic = [(*fork, 2.8), (*jitter(generator, bend, 2), 2.6), (x + 20, y + vein_radius + 5, z + 34, 2.3)]
    hepatic.append((x + 34 * habitus.width_scale, y + 8, z + 52, 1.8))
    draw_tube(canvas, hepatic, Tissue.ARTERIES)
    gastric = [(*fork, 2.0), jitter(generator, (fork[0] - 8, fork[1] + 10, level + 24), 3) + (1.6,)]
    draw_tube(canvas, gastric, Tissue.ARTERIES)
    return fork
