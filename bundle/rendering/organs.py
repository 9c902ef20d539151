"""The solid organs: liver with its vessels, spleen, kidneys, gallbladder."""

from __future__ import annotations

from bundle.rendering.draws import chance, normal, uniform
from bundle.rendering.scene import Region, Scene, depth_voxels
from bundle.rendering.tissues import Tissue

FATTY_LIVER_SHARE = 0.2


def paint_liver(scene: Scene) -> None:
    """Fatty at times; portal and hepatic veins as branching tubes; cysts or nodules at times."""
    region = scene.region(Tissue.LIVER)
    if region is None:
        return
    g = scene.generator
    scene.facts["fatty_liver"] = chance(g, FATTY_LIVER_SHARE)
    if scene.facts["fatty_liver"]:
        region.image_hu.sub_(uniform(g, 10, 50) * region.mask)
    shape = region.mask.shape
    depth = (depth_voxels(region.mask, 5) == 5).float()
    veins_hu = scene.hu[Tissue.PORTAL_VEINS]
    region.blend(veins_hu, scene.tubes(shape, apart_mm=24.0, radius_mm=uniform(g, 2.2, 3.4)) * depth)
    hepatic_hu = scene.hu[Tissue.VENA_CAVA] if scene.phase == "arterial" else veins_hu * 0.97
    region.blend(hepatic_hu, scene.tubes(shape, apart_mm=14.0, radius_mm=uniform(g, 1.0, 1.6)) * depth)
    if chance(g, 0.25):
        lesions = scene.field(shape, uniform(g, 10, 25)) - uniform(g, 2.2, 3.0)
        region.blend(uniform(g, 0, 70), (lesions * 6).clamp_(0, 1))


def paint_spleen(scene: Scene) -> None:
    """Mottled in the arterial phase, even later."""
    region = scene.region(Tissue.SPLEEN)
    if region is None or scene.phase != "arterial":
        return
    waves = scene.field(region.mask.shape, 9.0) * uniform(scene.generator, 0, 25)
    region.image_hu.add_(waves * region.mask)


# HU of medulla and of collecting system: (mean, sd) by phase.
_MEDULLA = {"unenhanced": (30, 4), "arterial": (85, 25), "portal": (160, 30), "late": (165, 25)}
_PELVIS = {"unenhanced": (6, 4), "arterial": (8, 5), "portal": (12, 8), "late": (300, 200)}


def paint_kidneys(scene: Scene) -> None:
    """Cortex with its columns around the medulla; fat and the collecting system in the sinus; cysts at times."""
    medulla_hu = normal(scene.generator, *_MEDULLA[scene.phase])
    pelvis_hu = max(0.0, normal(scene.generator, *_PELVIS[scene.phase]))
    for side in (Tissue.KIDNEY_LEFT, Tissue.KIDNEY_RIGHT):
        region = scene.region(side)
        if region is not None:
            _paint_kidney(scene, region, medulla_hu, pelvis_hu)


def _paint_kidney(scene: Scene, region: Region, medulla_hu: float, pelvis_hu: float) -> None:
    g, shape = scene.generator, region.mask.shape
    depth_mm = depth_voxels(region.mask, round(24 / scene.spacing_mm)).float() * scene.spacing_mm
    depth_mm += scene.field(shape, 9.0) * 1.8
    cortex_mm, parenchyma_mm = uniform(g, 5, 8), uniform(g, 13, 18)
    pyramids = (scene.field(shape, 8.0) * 1.5 + 1.2).clamp_(0, 1)
    region.blend(medulla_hu, ((depth_mm - cortex_mm) / 1.5).clamp_(0, 1) * pyramids)
    in_sinus = ((depth_mm - parenchyma_mm) / 1.5).clamp_(0, 1)
    region.blend(scene.hu[Tissue.FAT] + 25, in_sinus)
    cavities = scene.tubes(shape, apart_mm=16.0, radius_mm=uniform(g, 2, 4))
    region.blend(pelvis_hu, in_sinus * cavities)
    if chance(g, 0.25):
        cysts = scene.field(shape, uniform(g, 10, 20)) - uniform(g, 2.0, 2.6)
        region.blend(uniform(g, 0, 18), (cysts * 6).clamp_(0, 1))


def paint_gallbladder(scene: Scene) -> None:
    """A thin wall around bile; stones at the bottom at times."""
    region = scene.region(Tissue.GALLBLADDER)
    if region is None:
        return
    g = scene.generator
    wall = (uniform(g, 0.8, 2.2) / scene.spacing_mm - depth_voxels(region.mask, 3).float() + 1).clamp_(0, 1)
    region.blend(scene.hu[Tissue.OTHER_SOFT], wall)
    scene.facts["gallstones"] = chance(g, 0.12)
    if scene.facts["gallstones"]:
        low = (region.mask.any(dim=2).any(dim=0).cumsum(0) < 0.35 * region.mask.shape[1])[None, :, None]
        stones = (scene.field(region.mask.shape, 5.0) * 4).clamp_(0, 1)
        region.blend(uniform(g, 60, 500), stones * low)
