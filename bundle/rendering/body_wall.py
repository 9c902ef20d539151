"""What label maps of organs leave out: abdominal wall, diaphragm, discs, fat and skin."""

from __future__ import annotations

import numpy as np
import torch
from scipy import ndimage
from skimage.morphology import convex_hull_image

from bundle.rendering.draws import uniform
from bundle.rendering.fields import smooth_field
from bundle.rendering.tissues import Tissue

_GRID_MM = 3.0
_SKIN_MM = 2.0
_NOT_BODY = (Tissue.OUTSIDE, Tissue.SKIN, Tissue.SUBCUTANEOUS_FAT)


def add_body_wall(tissues: np.ndarray, spacing_mm: float, generator: torch.Generator) -> np.ndarray:
    """Give a whole-body map the parts nobody labels, and return it (a new array of the same shape).

    The hull of all structures, slice by slice and smoothed along z, is the inside of the wall. Outwards follow muscle
    (4-13 mm), subcutaneous fat (1-40 mm, uneven, more of it in some patients and around the hips) and skin. Inside,
    what has no label is muscle between the ribs and beside the spine, a thin diaphragm under the lungs, discs between
    vertebrae, and fat elsewhere. The hull needs about 60 mm of empty voxels around the structures.

    Args:
        tissues: uint8 (X, Y, Z) tissue codes, RAS; ``OUTSIDE`` where nothing is labelled.
        generator: of the thickness of the layers.
    """
    stride = max(1, round(_GRID_MM / spacing_mm))
    coarse = tissues[::stride, ::stride, ::stride]
    grid_mm = stride * spacing_mm
    outward_mm = -_hull_distance_mm(~np.isin(coarse, _NOT_BODY), grid_mm)
    layers = _layers(coarse, outward_mm, grid_mm, generator)
    depth_mm, muscle_mm, fat_mm = (_enlarged(field, tissues.shape, stride, "trilinear") for field in layers)
    inner = _enlarged(_inner_tissues(coarse, outward_mm, grid_mm), tissues.shape, stride, "nearest-exact")
    inside = _enlarged(outward_mm, tissues.shape, stride, "trilinear") <= 0
    wall = np.full(tissues.shape, Tissue.OUTSIDE, np.uint8)
    for depth, tissue in (
        (muscle_mm + fat_mm + _SKIN_MM, Tissue.SKIN),
        (muscle_mm + fat_mm, Tissue.SUBCUTANEOUS_FAT),
        (muscle_mm, Tissue.MUSCLE),
        (np.float32(0), Tissue.FAT),
    ):
        wall[depth_mm <= depth] = tissue
    wall[inside] = inner[inside]
    return np.where(np.isin(tissues, _NOT_BODY), wall, tissues)


def _hull_distance_mm(body: np.ndarray, grid_mm: float) -> np.ndarray:
    """Signed distance to the hull of each slice, positive inside, smooth along z; nothing labelled lies outside."""
    distance_mm = np.full(body.shape, np.nan, np.float32)
    for z in range(body.shape[2]):
        if np.count_nonzero(body[:, :, z]) > 8:
            hull = convex_hull_image(body[:, :, z])
            inside, outside = ndimage.distance_transform_edt(hull), ndimage.distance_transform_edt(~hull)
            distance_mm[:, :, z] = (inside - outside) * grid_mm
    filled = np.flatnonzero(~np.isnan(distance_mm[0, 0]))
    nearest = filled[np.abs(np.arange(body.shape[2])[:, None] - filled[None]).argmin(axis=1)]
    distance_mm = distance_mm[:, :, nearest]
    smooth = ndimage.gaussian_filter1d(distance_mm, 14 / grid_mm, axis=2, mode="nearest")
    return ndimage.gaussian_filter(np.maximum(smooth, distance_mm - 2), 4 / grid_mm, mode="nearest")


def _layers(
    coarse: np.ndarray, outward_mm: np.ndarray, grid_mm: float, generator: torch.Generator
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Depth outwards from the inner side of the muscles, thickness of the muscles, thickness of the fat; in mm."""
    uneven = [
        smooth_field(coarse.shape, 45 / grid_mm, generator, torch.device("cpu")).numpy().clip(-2, 2) for _ in range(3)
    ]
    hull = outward_mm <= 0
    centre_x, back_y = _centre_and_back(hull)
    x, y = (grid_mm * axis for axis in np.meshgrid(*[np.arange(n) for n in coarse.shape[:2]], indexing="ij"))
    aside_mm = np.abs(x[:, :, None] - centre_x * grid_mm)
    in_front = 1 / (1 + np.exp(-(y[:, :, None] - (back_y * grid_mm)[None, None] - 60) / 10))
    # The white line between the straight muscles is thin; behind, the labelled back muscles are the wall.
    muscle_mm = 8.5 + 2 * uneven[0] - 4.5 * in_front * np.exp(-((aside_mm / 10) ** 2)) - 3 * (1 - in_front)
    muscle_mm = muscle_mm.clip(4, 13)
    mean_mm = 4 + 22 * uniform(generator, 0, 1) ** 2
    downwards = np.linspace(1.25, 0.7, coarse.shape[2])[None, None]
    fat_mm = (mean_mm * (1 + 0.35 * uneven[1]) * downwards * (1.15 - 0.3 * in_front)).clip(1, 40)
    # Fat between bowel and wall.
    gap_mm = (uniform(generator, 0, 5) + 2.5 * uneven[2]).clip(0, 9) * in_front
    below_ribs = ~_near(coarse, (Tissue.BONE, Tissue.CARTILAGE, Tissue.LUNG), 20, grid_mm)
    gap_mm = gap_mm * ndimage.gaussian_filter(below_ribs.astype(np.float32), 12 / grid_mm)
    return outward_mm - gap_mm, muscle_mm, fat_mm


def _centre_and_back(hull: np.ndarray) -> tuple[float, np.ndarray]:
    """Middle of the hull in x, and its hindmost y in each slice."""
    along_x = np.flatnonzero(hull.any(axis=(1, 2)))
    return float(along_x[[0, -1]].mean()), hull.any(axis=0).argmax(axis=0).astype(np.float32)


def _inner_tissues(coarse: np.ndarray, outward_mm: np.ndarray, grid_mm: float) -> np.ndarray:
    """What unlabelled voxels inside the hull are."""
    inner = np.full(coarse.shape, Tissue.FAT, np.uint8)
    frame = np.isin(coarse, (Tissue.BONE, Tissue.MUSCLE, Tissue.CARTILAGE))
    inner[_closed(frame, 9 / grid_mm)] = Tissue.MUSCLE
    inner[_near(coarse, (Tissue.BONE, Tissue.CARTILAGE), 8, grid_mm) & (outward_mm > -14)] = Tissue.MUSCLE
    inner[_near(coarse, (Tissue.LUNG,), 3.1, grid_mm)] = Tissue.MUSCLE
    inner[_discs(coarse, grid_mm)] = Tissue.CARTILAGE
    inner[_near(coarse, (Tissue.SPINAL_CANAL,), 3.1, grid_mm)] = Tissue.SPINAL_CANAL
    return inner


def _discs(coarse: np.ndarray, grid_mm: float) -> np.ndarray:
    """Between bone above and below, in front of the spinal canal and close to it."""
    bone = coarse == Tissue.BONE
    reach = max(1, round(9 / grid_mm))
    above, below = np.zeros_like(bone), np.zeros_like(bone)
    for step in range(1, reach + 1):
        above[:, :, :-step] |= bone[:, :, step:]
        below[:, :, step:] |= bone[:, :, :-step]
    canal = coarse == Tissue.SPINAL_CANAL
    if not canal.any():
        return np.zeros_like(bone)
    offset = ndimage.distance_transform_edt(~canal, return_distances=False, return_indices=True)
    x, y, _ = np.indices(coarse.shape)
    close = (np.abs(x - offset[0]) * grid_mm < 27) & ((y - offset[1]) * grid_mm > 3) & ((y - offset[1]) * grid_mm < 45)
    return above & below & close


def _closed(mask: np.ndarray, radius: float) -> np.ndarray:
    """Morphological closing by a ball."""
    grown = ndimage.distance_transform_edt(~mask) <= radius
    return ndimage.distance_transform_edt(grown) > radius


def _near(coarse: np.ndarray, of: tuple[Tissue, ...], within_mm: float, grid_mm: float) -> np.ndarray:
    mask = np.isin(coarse, of)
    if not mask.any():
        return mask
    return ndimage.distance_transform_edt(~mask) * grid_mm <= within_mm


def _enlarged(coarse: np.ndarray, shape: tuple[int, ...], stride: int, mode: str) -> np.ndarray:
    """The values on the fine grid, of which the coarse one is every ``stride``-th voxel (half a voxel is neglected)."""
    values = torch.from_numpy(np.ascontiguousarray(coarse))[None, None]
    size = [n * stride for n in coarse.shape]
    values = values if mode == "nearest-exact" else values.float()
    enlarged = torch.nn.functional.interpolate(values, size=size, mode=mode)[0, 0].numpy()
    return enlarged[tuple(slice(n) for n in shape)]
