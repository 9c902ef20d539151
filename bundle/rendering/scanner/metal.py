"""Metal in the body: clips, stents and spine screws, and the streaks that spread from them."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from bundle.rendering.draws import chance, generator_on, integer, uniform
from bundle.rendering.partial_volume import share_inside
from bundle.rendering.scanner.grid import ScanGrid
from bundle.rendering.scanner.settings import ScannerSettings
from bundle.rendering.tissues import Tissue

METAL_DENSITY = 4500.0
BONE_DENSITY = 1250.0  # 250 HU
_LENGTH_MM = {"clips": 5.0, "stent": 60.0, "screws": 45.0}
_RADIUS_MM = {"clips": 1.2, "stent": 2.5, "screws": 2.8}
_WALL_MM = 1.2  # of the stent


def insert_metal(
    density: Tensor, label: Tensor, spacing_mm: float, generator: torch.Generator, settings: ScannerSettings
) -> tuple[list[Tensor], str]:
    """Write clips, a stent or two spine screws into a painted body, at times.

    Args:
        density: (Z, Y, X), HU above air; changed.
        label: (Z, Y, X) classes.
        spacing_mm: of both.
        generator: of everything random.
        settings: how often.

    Returns:
        The ends of each piece in mm from the grid's outer edge, (2, 3) as z, y, x; and what it is, "none" for nothing.
    """
    if not chance(generator, settings.share_metal):
        return [], "none"
    kind = ("clips", "stent", "screws")[integer(generator, 3)]
    places = _allowed(kind, density, label, spacing_mm).nonzero()
    if len(places) == 0:
        return [], "none"
    ends = []
    count = 1 + integer(generator, 4) if kind == "clips" else 2 if kind == "screws" else 1
    start = places[integer(generator, len(places))].float() * spacing_mm
    for side in range(count):
        length_mm = _LENGTH_MM[kind] * uniform(generator, 0.7, 1.3)
        at = start + torch.tensor([uniform(generator, -12, 12) for _ in range(3)]).to(start) * (kind == "clips")
        if kind == "screws":
            at[2] = spacing_mm * (density.shape[2] // 2) + (14 if side else -14)
        tilt = {"screws": [0.0, 1.0, -0.25 if side else 0.25], "stent": [0.9, uniform(generator, -0.3, 0.3), 0.4]}
        way = torch.tensor(tilt.get(kind, [uniform(generator, -1, 1) for _ in range(3)])).to(start)
        end = at + length_mm * way / way.norm()
        _draw_rod(density, at, end, _RADIUS_MM[kind], spacing_mm, hollow=kind == "stent")
        ends.append(torch.stack([at, end]))
    return ends, kind


def add_star(image: Tensor, grid: ScanGrid, ends_mm: Tensor, generator: torch.Generator) -> None:
    """Add bright and dark rays around the cut of a piece of metal, in the slices that hold it.

    Args:
        image: (Z, Y, X) on ``grid``; changed.
        grid: the scan's.
        ends_mm: as :func:`insert_metal` returns them.
        generator: of everything random.
    """
    source = generator_on(image.device, generator)
    strength_hu = uniform(generator, 60, 260)
    low_mm, high_mm = sorted(ends_mm[:, 0].tolist())
    held = ((grid.z_mm > low_mm - 3) & (grid.z_mm < high_mm + 3)).nonzero().flatten().tolist()
    for index in held:
        along = ((float(grid.z_mm[index]) - low_mm) / max(high_mm - low_mm, 1.0)) if high_mm - low_mm > 6 else 0.5
        lower, upper = (ends_mm[0], ends_mm[1]) if ends_mm[0, 0] <= ends_mm[1, 0] else (ends_mm[1], ends_mm[0])
        at = lower + min(max(along, 0.0), 1.0) * (upper - lower)
        dy, dx = (grid.y_mm - at[1])[:, None], (grid.x_mm - at[2])[None]
        angle = torch.atan2(dy, dx) / math.pi % 1.0 * 96
        rays = torch.randn(97, generator=source, device=image.device)
        rays = rays * rays.abs()
        rays[96] = rays[0]  # a ray goes through the metal to the other side
        left = angle.floor().long().clamp(max=95)
        ray = torch.lerp(rays[left], rays[left + 1], angle - left)
        distance_mm = (dy**2 + dx**2).sqrt()
        image[index] += strength_hu * ray * (distance_mm / 4).clamp(max=1) / (1 + distance_mm / 18)


def _allowed(kind: str, density: Tensor, label: Tensor, spacing_mm: float) -> Tensor:
    """Where a piece may begin: clips at the liver, a stent in duodenum or pancreas, screws in the spine."""
    if kind == "clips":
        return (label == Tissue.LIVER) | (label == Tissue.GALLBLADDER)
    if kind == "stent":
        return (label == Tissue.DUODENUM) | (label == Tissue.PANCREAS)
    bone = density > BONE_DENSITY
    middle, reach = density.shape[2] // 2, round(15 / spacing_mm)
    bone[:, :, : middle - reach] = False
    bone[:, :, middle + reach :] = False
    bone[:, density.shape[1] // 2 :] = False
    return bone


def _draw_rod(density: Tensor, at: Tensor, end: Tensor, radius_mm: float, spacing_mm: float, hollow: bool) -> None:
    margin = radius_mm + spacing_mm
    low = ((torch.minimum(at, end) - margin) / spacing_mm).long().clamp(min=0).tolist()
    high = ((torch.maximum(at, end) + margin) / spacing_mm + 1).long().tolist()
    box = tuple(slice(a, max(a, b)) for a, b in zip(low, high, strict=True))
    if 0 in density[box].shape:
        return
    axes = [
        (torch.arange(n, device=density.device, dtype=torch.float32) + a + 0.5) * spacing_mm
        for n, a in zip(density[box].shape, low, strict=True)
    ]
    points = torch.stack(torch.meshgrid(*axes, indexing="ij"), -1)
    along = ((points - at) @ (end - at) / (end - at).square().sum()).clamp(0, 1)
    distance_mm = (points - (at + along[..., None] * (end - at))).norm(dim=-1)
    filled = share_inside(radius_mm - distance_mm, spacing_mm)
    if hollow:
        filled = filled * share_inside(distance_mm - radius_mm + _WALL_MM, spacing_mm)
    density[box] += filled * (METAL_DENSITY - density[box]).clamp(min=0)
