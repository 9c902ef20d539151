"""A procedural abdomen as a label map, from random numbers alone."""

from __future__ import annotations

import torch

from bundle.rendering.anatomy import Anatomy
from bundle.rendering.body_parts.gland import draw_gland, plan_gland
from bundle.rendering.body_parts.gut import (
    draw_colon,
    draw_duodenum,
    draw_oesophagus,
    draw_small_bowel,
    draw_stomach,
)
from bundle.rendering.body_parts.habitus import draw_habitus
from bundle.rendering.body_parts.organs import (
    draw_gallbladder,
    draw_heart,
    draw_kidneys,
    draw_liver,
    draw_spleen,
)
from bundle.rendering.body_parts.trunk import draw_trunk, make_canvas
from bundle.rendering.body_parts.vessels import draw_great_vessels, draw_mesenteric_vessels


def draw_body(generator: torch.Generator, spacing_mm: float = 1.5) -> Anatomy:
    """A random abdomen from the lung bases to the iliac crests, lean to obese, with every organ near the pancreas.

    Organs are drawn into fat only, the ones that set the others' places first; so an organ drawn later is moulded by
    its neighbours, as in life.

    Args:
        generator: source of all random numbers; the same state gives the same body.
        spacing_mm: edge of a voxel. One seed gives about the same body at any spacing, its surfaces apart.
    """
    habitus = draw_habitus(generator)
    canvas = make_canvas(habitus, spacing_mm, generator)
    trunk = draw_trunk(canvas, habitus)
    gland = plan_gland(generator, habitus)
    aorta, aorta_radius = draw_great_vessels(canvas, habitus)
    vessels = draw_mesenteric_vessels(canvas, habitus, aorta, aorta_radius)
    duodenum = draw_duodenum(canvas, habitus, vessels, head_mm=2.5 * gland.calibre_mm)
    kidneys = draw_kidneys(canvas, habitus, aorta)
    draw_spleen(canvas, habitus, trunk, kidneys[-1])
    draw_gland(canvas, gland, vessels, duodenum)
    draw_oesophagus(canvas, habitus, aorta[1] + aorta_radius)
    draw_gallbladder(canvas, habitus)
    draw_stomach(canvas, habitus, trunk, duodenum.pylorus)
    draw_heart(canvas, habitus, trunk)
    draw_liver(canvas, habitus, trunk, kidneys[1])
    draw_colon(canvas, habitus, trunk)
    draw_small_bowel(canvas, habitus, trunk, duodenum.end)
    return Anatomy(canvas.tissues, spacing_mm, f"procedural-{generator.initial_seed()}")
