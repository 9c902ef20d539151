"""The pancreas: fat between its lobules, its duct, the bile duct in its head, cysts, tumours and calcifications."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import avg_pool3d

from bundle.rendering.draws import chance, integer, normal, pick, uniform
from bundle.rendering.partial_volume import share_inside
from bundle.rendering.scene import Region, Scene, depth_voxels
from bundle.rendering.tissues import Tissue

# How fatty glands are: how often, and the range of the share of fat voxels.
_FATTINESS = {"lean": 0.42, "mixed": 0.36, "fatty": 0.22}
_FAT_SHARE = {"lean": (0.0, 0.05), "mixed": (0.05, 0.2), "fatty": (0.2, 0.5)}
_CYST_MM = (2.5, 14.0)


def paint_pancreas(scene: Scene) -> None:
    """Cysts and ducts stay labelled as the gland, wide clefts of fat don't."""
    region = scene.region(Tissue.PANCREAS)
    scene.facts["pancreas_hu"] = round(scene.hu[Tissue.PANCREAS], 1)
    if region is None:
        return
    g = scene.generator
    scene.facts["tumour"] = chance(g, 0.08)
    if scene.facts["tumour"]:
        _paint_ball(scene, region, scene.hu[Tissue.PANCREAS] - uniform(g, 12, 45), uniform(g, 7, 16))
    fattiness = pick(g, _FATTINESS)
    scene.facts["fat_share"] = round(uniform(g, *_FAT_SHARE[fattiness]), 3)
    _paint_lobules(scene, region, scene.facts["fat_share"])
    scene.facts["duct_mm"] = round(uniform(g, 4, 8) if chance(g, 0.12) else uniform(g, 0.6, 2.6), 1)
    _paint_duct(scene, region, scene.facts["duct_mm"])
    scene.facts["bile_duct_mm"] = round(uniform(g, 7, 12) if chance(g, 0.08) else uniform(g, 2.5, 6.5), 1)
    _paint_bile_duct(scene, region, scene.facts["bile_duct_mm"])
    scene.facts["cysts"] = int(uniform(g, 1, 4)) if chance(g, 0.15) else 0
    for _ in range(scene.facts["cysts"]):
        _paint_ball(scene, region, uniform(g, 0, 20), uniform(g, *_CYST_MM))
    scene.facts["calcified"] = chance(g, 0.06)
    if scene.facts["calcified"]:
        specks = scene.field(region.mask.shape, 3.0) - uniform(g, 2.2, 3.0)
        region.blend(uniform(g, 300, 900), (specks * 3).clamp_(0, 1))


def _paint_lobules(scene: Scene, region: Region, fat_share: float) -> None:
    """Clefts of fat that begin at the surface, so that about ``fat_share`` of the gland is fat.

    Where more than half of the gland around a voxel is fat, the voxel is none to those who outline glands: in the masks
    of NIH Pancreas-CT at most 2 % of the inner pixels are fat, but for the fattest two of 45 patients.
    """
    depth_mm = depth_voxels(region.mask, 6).float() * scene.spacing_mm
    clefts = scene.field(region.mask.shape, uniform(scene.generator, 5, 9)).abs_().neg_()
    clefts = clefts + 0.35 * region.fine - 0.07 * depth_mm
    threshold = torch.quantile(_thinned(clefts[region.mask]), 1 - fat_share)
    fat_hu = scene.hu[Tissue.FAT] + uniform(scene.generator, 5, 35)
    fat = ((clefts - threshold) * 3.5 + 0.5).clamp_(0, 1).mul_(region.mask) * (fat_share > 0)
    region.blend(fat_hu, fat)
    around = avg_pool3d(torch.stack([fat, region.mask.float()]), 3, stride=1, padding=1)
    scene.label[region.box][region.mask & (around[0] > 0.5 * around[1])] = 0


def _thinned(values: Tensor, most: int = 100_000) -> Tensor:
    return values[:: len(values) // most + 1]


def _paint_duct(scene: Scene, region: Region, duct_mm: float) -> None:
    """A tube along the middle of the gland: at each x, the centre of its deep voxels."""
    depth = depth_voxels(region.mask, 12).float()
    weight = depth**3
    per_x = weight.sum(dim=(1, 2))
    y, z = (torch.arange(n, device=depth.device, dtype=torch.float32) for n in region.mask.shape[1:])
    centre_y = _smooth_along((weight.sum(dim=2) * y).sum(dim=1), per_x)
    centre_z = _smooth_along((weight.sum(dim=1) * z).sum(dim=1), per_x)
    wander = scene.field(region.mask.shape, 12.0)[:, :1, :1] * 0.8
    squared = (y[None, :, None] - centre_y[:, None, None] + wander) ** 2 + (z - centre_z[:, None, None]) ** 2
    distance_mm = squared.sqrt() * scene.spacing_mm
    region.blend(normal(scene.generator, 10, 4), _inside(distance_mm, duct_mm / 2, scene.spacing_mm))


def _smooth_along(weighted: Tensor, weight: Tensor, width: int = 9) -> Tensor:
    """Ratio of two (X,) profiles, each summed over ``width`` neighbours first."""
    kernel = torch.ones(1, 1, width, device=weight.device)
    sums = [torch.conv1d(p[None, None], kernel, padding=width // 2)[0, 0] for p in (weighted, weight)]
    return sums[0] / sums[1].clamp(min=1e-6)


def _paint_bile_duct(scene: Scene, region: Region, bile_duct_mm: float) -> None:
    """An upright tube in the head, the end of the gland on the patient's right (+x); at times with stent or gas."""
    g = scene.generator
    reach = region.mask.shape[0]
    start = int(reach * 0.78)
    head = depth_voxels(region.mask[start:], 12)
    if not head.any():
        return
    deepest = (head == head.max()).nonzero().float().mean(dim=0)
    x, y, z = (torch.arange(n, device=head.device, dtype=torch.float32) for n in region.mask.shape)
    lean = uniform(g, -0.3, 0.3)
    from_x = x[:, None, None] - (deepest[0] + start) + lean * (z - deepest[2])
    distance_mm = (from_x**2 + (y[None, :, None] - deepest[1]) ** 2).sqrt() * scene.spacing_mm
    inside = _inside(distance_mm, bile_duct_mm / 2, scene.spacing_mm)
    filling = pick(g, {"bile": 0.94, "stent": 0.03, "gas": 0.03})
    scene.facts["bile_duct"] = filling
    region.blend({"bile": normal(g, 10, 4), "stent": 1200.0, "gas": -700.0}[filling], inside)


def _paint_ball(scene: Scene, region: Region, hu: float, radius_mm: float) -> None:
    """A lumpy ball around a random voxel of the gland, within it."""
    voxels = region.mask.nonzero()
    centre = voxels[integer(scene.generator, len(voxels))].float()
    x, y, z = (torch.arange(n, device=centre.device, dtype=torch.float32) for n in region.mask.shape)
    squared = (x[:, None, None] - centre[0]) ** 2 + (y[None, :, None] - centre[1]) ** 2 + (z - centre[2]) ** 2
    distance_mm = squared.sqrt() * scene.spacing_mm + scene.field(region.mask.shape, 8.0) * 0.12 * radius_mm
    region.blend(hu, _inside(distance_mm, radius_mm, scene.spacing_mm))


def _inside(distance_mm: Tensor, radius_mm: float, spacing_mm: float) -> Tensor:
    """How much of a voxel lies within ``radius_mm``.

    A tube thinner than a voxel fills none of them wholly.
    """
    thinness = min(1.0, (2 * radius_mm / spacing_mm) ** 2)
    return share_inside(radius_mm - distance_mm, spacing_mm) * thinness
