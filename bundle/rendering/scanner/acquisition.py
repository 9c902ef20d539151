"""One acquisition, from the painted body to the stored scan."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
import torch

from bundle.rendering.draws import between, between_logs, chance, integer, uniform
from bundle.rendering.scanner.grid import ScanGrid, draw_grid, draw_length
from bundle.rendering.scanner.metal import add_star, insert_metal
from bundle.rendering.scanner.noise import add_noise
from bundle.rendering.scanner.sampling import sample_image, sample_label
from bundle.rendering.scanner.scan import RenderedScan, as_stored, pad_outside_circle, place_in_world, reorient
from bundle.rendering.scanner.settings import ScannerSettings
from bundle.rendering.scanner.table import lay_on_table
from bundle.rendering.tissues import Tissue

if TYPE_CHECKING:
    from bundle.rendering.appearance import Painted

AIR_HU = -1000.0

NOISE_THICKNESS_MM = 3.0
"""Of the slices whose noise the settings tell."""


def acquire(painted: Painted, generator: torch.Generator, settings: ScannerSettings) -> RenderedScan:
    """Scan a painted body.

    Args:
        painted: on any device, which does the work.
        generator: CPU generator; same state, same scan.
        settings: what to draw from.

    Raises:
        InputError: a scan without pancreas was drawn and the body ends too close to the gland, above and below.
    """
    spacing_mm = painted.spacing_mm
    density = (painted.image_hu - AIR_HU).permute(2, 1, 0)  # (Z, Y, X) from here on; air is 0, also beyond the grid
    label = painted.label.permute(2, 1, 0)
    thickness_mm = uniform(generator, *settings.slice_thickness_mm)
    bottom_mm, top_mm, view = draw_length(label, spacing_mm, thickness_mm, generator, settings)
    first = max(0, math.floor((bottom_mm - thickness_mm) / spacing_mm))
    last = math.ceil((top_mm + thickness_mm) / spacing_mm) + 1
    density, label = density[first:last].clone(), label[first:last]
    metal_ends_mm, metal = insert_metal(density, label, spacing_mm, generator, settings)
    length_mm = (bottom_mm - first * spacing_mm, top_mm - first * spacing_mm)
    grid = draw_grid(density, spacing_mm, length_mm, thickness_mm, generator, settings)

    softness = uniform(generator, 0, 1)
    blur_mm = between(settings.blur_mm, softness)
    motion_mm = uniform(generator, 1.5, 5.0) if chance(generator, settings.share_motion) else 0.0
    image = sample_image(density, spacing_mm, grid, blur_mm, motion_mm)
    if chance(generator, settings.share_table):
        lay_on_table(image, grid.pixel_mm, generator)
    noise_hu = between_logs(settings.noise_hu, uniform(generator, 0, 1))
    noise_hu *= math.sqrt(NOISE_THICKNESS_MM / thickness_mm)  # of as many quanta as the slice is thick
    starvation = chance(generator, settings.share_starvation)
    add_noise(image, grid, noise_hu, between(settings.noise_peak_per_mm, 1 - softness), starvation, generator)
    for ends_mm in metal_ends_mm:
        add_star(image, grid, ends_mm, generator)
    image += AIR_HU + uniform(generator, -settings.offset_hu, settings.offset_hu)
    circle = chance(generator, settings.share_circle)
    if circle:
        pad_outside_circle(image)

    orientation = settings.orientations[integer(generator, len(settings.orientations))]
    affine = place_in_world(grid, generator)
    image_hu, stored_affine = reorient(as_stored(image).cpu().numpy().T, affine, orientation)
    stored_label, _ = reorient(sample_label(label, spacing_mm, grid).cpu().numpy().T, affine, orientation)
    facts = {
        **painted.facts,
        "view": view,
        **_grid_facts(grid),
        "noise_hu": round(noise_hu, 2),
        "blur_mm": round(blur_mm, 2),
        "motion_mm": round(motion_mm, 2),
        "starvation": starvation,
        "metal": metal,
        "circle": circle,
        "orientation": orientation,
        "pancreas_ml": round(float(np.count_nonzero(stored_label == Tissue.PANCREAS)) * grid.voxel_ml, 2),
    }
    return RenderedScan(image_hu, stored_label, stored_affine, facts)


def _grid_facts(grid: ScanGrid) -> dict[str, float]:
    return {
        "in_plane_spacing_mm": round(grid.pixel_mm, 4),
        "slice_thickness_mm": round(grid.thickness_mm, 3),
        "slice_increment_mm": round(grid.increment_mm, 3),
    }
