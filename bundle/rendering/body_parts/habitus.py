"""The build of a procedural body: its sizes, and where a landmark of the standard body lies in it."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from bundle.rendering.draws import bounded_normal, uniform
from bundle.rendering.shapes import Point

SPINE_FRONT_MM = 17.0
"""Front of the vertebral bodies in every body; the origin is the centre of the disc between L1 and L2."""

_STANDARD_HALF_WIDTH_MM = 130.0
_STANDARD_FRONT_MM = 118.0


@dataclass(frozen=True)
class Habitus:
    """Sizes of a body, in mm; x to the right, y to the front, z up, origin in the disc between L1 and L2.

    Args:
        half_width: of the abdominal cavity.
        front: y of the cavity's front wall.
        back: y of the cavity's back wall.
        height: factor on the heights of the organs and of the vertebrae.
        fat: mean subcutaneous thickness.
        muscle: factor on the thickness of muscles.
        droop: how far the organs lie below their standard place.
        top: upper end of the body drawn.
        bottom: lower end of the body drawn.
    """

    half_width: float
    front: float
    back: float
    height: float
    fat: float
    muscle: float
    droop: float
    top: float
    bottom: float

    @property
    def depth_scale(self) -> float:
        """How far organs in front of the spine spread forward compared with the standard body."""
        return float((self.front - 10 - SPINE_FRONT_MM) / (_STANDARD_FRONT_MM - 10 - SPINE_FRONT_MM)) ** 0.8

    @property
    def width_scale(self) -> float:
        """How far organs spread sideways compared with the standard body."""
        return (self.half_width / _STANDARD_HALF_WIDTH_MM) ** 0.8

    def place(self, x: float, y: float, z: float) -> Point:
        """A landmark of the standard body (half width 130, front 118) in this body."""
        if y > SPINE_FRONT_MM:
            y = SPINE_FRONT_MM + (y - SPINE_FRONT_MM) * self.depth_scale
        return x * self.width_scale, y, z * self.height - self.droop


def draw_habitus(generator: torch.Generator) -> Habitus:
    """A random build from small and lean to large and obese; visceral and subcutaneous fat vary apart."""
    obesity = uniform(generator, 0, 1) ** 1.3
    visceral = min(max(obesity + bounded_normal(generator, 0.2), 0.0), 1.0)
    subcutaneous = min(max(obesity + bounded_normal(generator, 0.2), 0.0), 1.0)
    height = uniform(generator, 0.88, 1.12)
    return Habitus(
        half_width=112 + 34 * visceral + 40 * (height - 0.88) + bounded_normal(generator, 4),
        front=86 + 54 * visceral + bounded_normal(generator, 4),
        back=-34 + bounded_normal(generator, 3),
        height=height,
        fat=2.5 + 26 * subcutaneous,
        muscle=uniform(generator, 0.7, 1.25),
        droop=bounded_normal(generator, 9),
        top=(132 + uniform(generator, 0, 45)) * height,
        bottom=-(125 + uniform(generator, 0, 60)) * height,
    )
