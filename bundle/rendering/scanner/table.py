"""The patient table."""

from __future__ import annotations

import torch
from torch import Tensor

from bundle.rendering.draws import uniform
from bundle.rendering.partial_volume import share_inside
from bundle.rendering.scanner.grid import TISSUE_DENSITY


def lay_on_table(image: Tensor, pixel_mm: float, generator: torch.Generator) -> None:
    """Add a cushion and a thin curved shell with a lighter core below the back, the same in all slices.

    Args:
        image: (Z, Y, X), HU above air; changed.
        pixel_mm: its pixel edge.
        generator: of everything random.
    """
    _, rows, columns = image.shape
    device = image.device
    body = (image > TISSUE_DENSITY).any(0)
    y_mm = pixel_mm * torch.arange(rows, device=device, dtype=torch.float32)
    x_mm = pixel_mm * (torch.arange(columns, device=device, dtype=torch.float32) - columns / 2)
    x_mm = x_mm + uniform(generator, -15, 15)
    half_width_mm, middle_mm = uniform(generator, 190, 260), uniform(generator, 15, 60)
    skin_mm, cushion_mm = uniform(generator, 1.2, 4.0), uniform(generator, 2, 10)
    skin, core, cushion = uniform(generator, 450, 1350), uniform(generator, 20, 110), uniform(generator, 20, 130)
    rise_mm = x_mm**2 / (2 * uniform(generator, 280, 900))  # the rims bend up, to the front
    back_mm = torch.where(body, y_mm[:, None], torch.inf).amin(0)
    top_mm = (back_mm - rise_mm).amin() - uniform(generator, 1, 22) + rise_mm
    depth_mm = top_mm - y_mm[:, None]  # (Y, X) below the table's surface
    height_mm = middle_mm * (1 - (x_mm / half_width_mm) ** 2).clamp(min=0)  # a crescent: the shells meet at the rims
    below_mm = depth_mm - height_mm

    padded = cushion * share_inside(depth_mm + cushion_mm, pixel_mm) * share_inside(-depth_mm, pixel_mm)
    upper = share_inside(depth_mm, pixel_mm) * share_inside(skin_mm - depth_mm, pixel_mm)
    lower = share_inside(below_mm, pixel_mm) * share_inside(skin_mm - below_mm, pixel_mm)
    inside = share_inside(depth_mm, pixel_mm) * share_inside(-below_mm, pixel_mm)
    table = torch.stack([padded, skin * upper, skin * lower, core * inside]).amax(0)
    table *= share_inside(half_width_mm - x_mm.abs(), pixel_mm)
    torch.maximum(image, table, out=image)
