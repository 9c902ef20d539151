"""What lies inside and between the organs: strands and vessels in fat, fatty muscle, bone, lung, blood."""

from __future__ import annotations

import torch

from bundle.rendering.draws import chance, uniform
from bundle.rendering.scene import Scene, depth_voxels
from bundle.rendering.tissues import Tissue


def paint_fat(scene: Scene) -> None:
    """Strands and septa, small vessels of the mesentery, and at times unlabelled nodes and loops of soft tissue."""
    region = scene.region(Tissue.FAT)
    if region is None:
        return
    g = scene.generator
    shape = region.mask.shape
    strands = scene.field(shape, 9.0)
    haze = uniform(g, 0.1, 0.45)
    region.blend(0.0, (0.12 - strands.abs_()).clamp_(min=0) * (haze / 0.12))
    vessel_hu = 0.5 * (scene.hu[Tissue.PORTAL_VEINS] + scene.hu[Tissue.ARTERIES])
    large = scene.tubes(shape, apart_mm=uniform(g, 12, 18), radius_mm=uniform(g, 1.3, 2.2))
    small = scene.tubes(shape, apart_mm=uniform(g, 7, 10), radius_mm=uniform(g, 0.7, 1.1))
    region.blend(vessel_hu, torch.maximum(large, small, out=large))
    if chance(g, 0.6):
        lumps = scene.field(shape, uniform(g, 8, 16))
        rarity = uniform(g, 1.7, 2.6)
        region.blend(scene.hu[Tissue.OTHER_SOFT], ((lumps - rarity) * 5).clamp_(0, 1))


def paint_subcutaneous_fat(scene: Scene) -> None:
    """Fibrous septa and a few veins."""
    region = scene.region(Tissue.SUBCUTANEOUS_FAT)
    if region is None:
        return
    septa = scene.field(region.mask.shape, (10.0, 10.0, 16.0))
    region.blend(10.0, (0.06 - septa.abs_()).clamp_(min=0) * (uniform(scene.generator, 0.1, 0.5) / 0.06))


def paint_muscle(scene: Scene) -> None:
    """Streaks of fat along the body, from none to many."""
    region = scene.region(Tissue.MUSCLE)
    if region is None:
        return
    share = uniform(scene.generator, 0, 1) ** 1.5
    streaks = scene.field(region.mask.shape, (7.0, 7.0, 24.0)).abs_()
    patches = (1 + 0.6 * region.fine).clamp_(min=0)
    region.blend(scene.hu[Tissue.FAT], (0.3 - streaks).clamp_(min=0) * patches * (0.15 + 1.5 * share))
    scene.facts["muscle_fat"] = round(share, 2)


def paint_bone(scene: Scene) -> None:
    """A dense cortical shell, uneven, around the spongy inside."""
    region = scene.region(Tissue.BONE)
    if region is None:
        return
    g = scene.generator
    shell_mm = uniform(g, 0.7, 1.5)
    depth = depth_voxels(region.mask, 3).float()
    cover = (shell_mm / scene.spacing_mm * (1 + 0.3 * region.fine) - depth + 1).clamp_(0, 1)
    region.blend(uniform(g, 350, 800), cover)


def paint_lungs(scene: Scene) -> None:
    """Branching vessels, and denser tissue towards the back of a lying patient."""
    region = scene.region(Tissue.LUNG)
    if region is None:
        return
    shape = region.mask.shape
    to_back = torch.linspace(uniform(scene.generator, 20, 110), 0, shape[1], device=region.mask.device)
    region.image_hu.add_(to_back[None, :, None] * region.mask)
    for apart_mm, radius_mm in ((26.0, 2.4), (14.0, 1.2)):
        region.blend(scene.hu[Tissue.OTHER_VEINS], scene.tubes(shape, apart_mm, radius_mm) * 0.9)


def paint_blood(scene: Scene) -> None:
    """Unmixed contrast in the vena cava, plaque in the aorta, muscle between the chambers of the heart."""
    g = scene.generator
    cava = scene.region(Tissue.VENA_CAVA)
    if cava is not None and scene.phase in ("arterial", "portal"):
        swirl = scene.field(cava.mask.shape, (8.0, 8.0, 20.0)) * uniform(g, 0, 25)
        # Blood of the kidneys comes enhanced, that of the legs not yet.
        below = torch.linspace(uniform(g, -60, 0), 0, cava.mask.shape[2], device=swirl.device)
        cava.image_hu.add_((swirl + below) * cava.mask)
    aorta = scene.region(Tissue.AORTA)
    scene.facts["plaque"] = chance(g, 0.35)
    if aorta is not None and scene.facts["plaque"]:
        plaque = scene.field(aorta.mask.shape, 6.0) - uniform(g, 1.1, 2.0)
        surface = depth_voxels(aorta.mask, 2) == 1
        aorta.blend(uniform(g, 400, 900), (plaque * 4).clamp_(0, 1) * surface)
    heart = scene.region(Tissue.HEART)
    if heart is not None:
        muscle_hu = min(scene.hu[Tissue.HEART], 0.5 * (scene.hu[Tissue.HEART] + scene.hu[Tissue.MUSCLE]))
        heart.blend(muscle_hu, (scene.field(heart.mask.shape, 22.0) * 3).clamp_(0, 1))
