"""The first coat of paint: each tissue's HU and its texture at two scales."""

from __future__ import annotations

import torch
from torch import Tensor

from bundle.rendering.fields import smooth_field
from bundle.rendering.tissues import Tissue

FINE_MM = 3.5
COARSE_MM = 14.0

# Standard deviation in HU of the (coarse, fine) texture; others have the last line's.
_TEXTURE: dict[Tissue, tuple[float, float]] = {
    Tissue.OUTSIDE: (0, 0),
    Tissue.PANCREAS: (5, 10),
    Tissue.LIVER: (3, 5),
    Tissue.SPLEEN: (4, 5),
    Tissue.GALLBLADDER: (2, 3),
    Tissue.BLADDER: (2, 3),
    Tissue.FAT: (4, 6),
    Tissue.SUBCUTANEOUS_FAT: (3, 5),
    Tissue.MUSCLE: (5, 9),
    Tissue.BONE: (22, 24),
    Tissue.LUNG: (20, 22),
    Tissue.HEART: (14, 6),
    Tissue.SKIN: (10, 12),
}
_USUAL_TEXTURE = (4.0, 6.0)


def fine_field(tissues: Tensor, spacing_mm: float, generator: torch.Generator) -> Tensor:
    """Texture over :data:`FINE_MM` with unit variance, float32 (X, Y, Z)."""
    return smooth_field(tissues.shape, max(1.0, FINE_MM / spacing_mm), generator, tissues.device)


def first_coat(
    tissues: Tensor, hu: dict[Tissue, float], fine: Tensor, spacing_mm: float, generator: torch.Generator
) -> Tensor:
    """Every voxel at its tissue's HU, with coarse and fine texture: float32 (X, Y, Z)."""
    index = tissues.to(torch.int32)
    coarse = smooth_field(tissues.shape, max(1.0, COARSE_MM / spacing_mm), generator, tissues.device)
    textures = [_TEXTURE.get(tissue, _USUAL_TEXTURE) for tissue in Tissue]
    table = torch.tensor([[hu[tissue], *texture] for tissue, texture in zip(Tissue, textures, strict=True)])
    means, coarse_sd, fine_sd = table.to(tissues.device).unbind(dim=1)
    image = means[index]
    image.addcmul_(coarse_sd[index], coarse)
    return image.addcmul_(fine_sd[index], fine)
