"""What the viewer of a page shows: the region around the mask in full, and the whole scan coarsely."""

from __future__ import annotations

import math
import struct
from collections.abc import Sequence
from dataclasses import dataclass

import nibabel as nib
import numpy as np

from bundle.geometry import Box, as_size, spacing_of
from bundle.write.case import foreground_box
from bundle.write.html.embedding import packed
from bundle.write.html.surface import surface_mesh

MARGIN_MM = 20.0
MAX_REGION_VOXELS = 6_000_000
MAX_WHOLE_VOXELS = 4_000_000
WHOLE_SPACING_MM = 2.5


@dataclass(frozen=True)
class Grey:
    """How HU become 8 bits: ``lowest_hu + step_hu * value``; what lies outside becomes the nearest value.

    Noise is the larger part of what a page weighs, and steps below its level show nothing.
    """

    lowest_hu: int
    step_hu: int

    @property
    def highest_hu(self) -> int:
        """HU of the value 255."""
        return self.lowest_hu + 255 * self.step_hu


REGION_GREY = Grey(-250, 2)
WHOLE_GREY = Grey(-1024, 8)


@dataclass(frozen=True)
class View:
    """A CT and its mask, as the viewer takes them.

    Attributes:
        name: for the page's elements.
        title: for its reader.
        about: what was cut off, averaged and rounded, as a sentence.
        ct: NIfTI file, uint8 with the slope to HU, gzip-compressed, as base64.
        mask: the same for the mask, 0 and 1.
        start: where to begin, as shares of the three axes.
    """

    name: str
    title: str
    about: str
    ct: str
    mask: str
    start: tuple[float, float, float]


def views(voxels: np.ndarray, inside: np.ndarray, affine: np.ndarray) -> list[View]:
    """Return the region around the mask, if it has voxels, and the whole scan.

    Args:
        voxels: (X, Y, Z) in HU.
        inside: (X, Y, Z) boolean, on the same grid.
        affine: (4, 4), voxel to mm, RAS+.
    """
    spacing_mm = spacing_of(affine)
    everything = Box((0, 0, 0), as_size(voxels.shape))
    slices = foreground_box(inside)
    found = []
    if slices is not None:
        tight = Box(as_size(s.start for s in slices), as_size(s.stop for s in slices))
        box = tight.grow([math.ceil(MARGIN_MM / mm) for mm in spacing_mm]).clip(everything.size)
        factors = coarsening(box.size, spacing_mm, MAX_REGION_VOXELS)
        title = "Around the gland"
        extent = f"the box around the outline with {MARGIN_MM:.0f} mm to each side"
        found.append(_view("region", title, extent, voxels, inside, affine, box, factors, REGION_GREY))
    factors = coarsening(everything.size, spacing_mm, MAX_WHOLE_VOXELS, WHOLE_SPACING_MM)
    title, extent = "Whole scan", "the whole scan"
    found.append(_view("whole", title, extent, voxels, inside, affine, everything, factors, WHOLE_GREY))
    return found


def surface_file(inside: np.ndarray, affine: np.ndarray) -> str:
    """Return the mask's surface in mm as an MZ3 file, gzip-compressed, as base64; nothing for an empty mask.

    The format: https://github.com/neurolabusc/surf-ice/tree/master/mz3
    """
    box = foreground_box(inside)
    if box is None:
        return ""
    own = np.array(affine, dtype=float)
    own[:3, 3] += own[:3, :3] @ [s.start for s in box]
    vertices_mm, triangles = surface_mesh(inside[box], own)
    faces_and_vertices = 3
    header = struct.pack("<2sHIII", b"MZ", faces_and_vertices, len(triangles), len(vertices_mm), 0)
    return packed(header + triangles.astype("<i4").tobytes() + vertices_mm.astype("<f4").tobytes())


def coarsening(
    size: Sequence[int], spacing_mm: Sequence[float], max_voxels: int, target_mm: float = 0.0
) -> tuple[int, int, int]:
    """Return how many voxels along each axis to average.

    As many as fit into ``target_mm``; then one more along the axis with the finest spacing, until at most
    ``max_voxels`` are left.
    """
    factors = [max(1, min(n, math.floor(target_mm / mm + 1e-6))) for n, mm in zip(size, spacing_mm)]
    while math.prod(n // f for n, f in zip(size, factors)) > max_voxels:
        reached_mm = [f * mm if f < n else math.inf for f, mm, n in zip(factors, spacing_mm, size)]
        factors[reached_mm.index(min(reached_mm))] += 1
    return as_size(factors)


def averaged(array: np.ndarray, factors: Sequence[int]) -> np.ndarray:
    """Return the means over blocks of an (X, Y, Z) array as float32; incomplete blocks at the far ends are left out."""
    size = [n // f * f for n, f in zip(array.shape, factors)]
    total = np.zeros([n // f for n, f in zip(array.shape, factors)], dtype=np.float32)
    for offset in np.ndindex(*as_size(factors)):
        total += array[tuple(slice(o, n, f) for o, n, f in zip(offset, size, factors))]
    return total / math.prod(factors)


def _view(
    name: str,
    title: str,
    extent: str,
    voxels: np.ndarray,
    inside: np.ndarray,
    affine: np.ndarray,
    box: Box,
    factors: tuple[int, int, int],
    grey: Grey,
) -> View:
    hu = averaged(voxels[box.slices], factors)
    mask = (averaged(inside[box.slices], factors) >= 0.5).astype(np.uint8)
    values = np.clip(np.rint((hu - grey.lowest_hu) / grey.step_hu), 0, 255).astype(np.uint8)
    own = np.array(affine, dtype=float)
    # the first voxel's centre moves to the middle of the first block
    own[:3, 3] = affine[:3, :3] @ (np.array(box.start) + (np.array(factors) - 1) / 2) + affine[:3, 3]
    own[:3, :3] = affine[:3, :3] * factors
    return View(
        name=name,
        title=title,
        about=_about(extent, spacing_of(own), factors, grey),
        ct=packed(_nifti(values, own, grey)),
        mask=packed(_nifti(mask, own)),
        start=_middle(mask),
    )


def _about(extent: str, spacing_mm: Sequence[float], factors: Sequence[int], grey: Grey) -> str:
    x, y, z = (f"{mm:.2f}".rstrip("0").rstrip(".") for mm in spacing_mm)
    across, along = f"{factors[0]} × {factors[1]} × {factors[2]}", "the scan's own resolution"
    how = along if max(factors) == 1 else f"averaged over {across} voxels"
    return (
        f"{extent}, {how}: voxels of {x} × {y} × {z} mm; "
        f"{grey.lowest_hu} to {grey.highest_hu} HU in steps of {grey.step_hu} HU.".replace("-", "−")
    )


def _nifti(values: np.ndarray, affine: np.ndarray, grey: Grey | None = None) -> bytes:
    image = nib.Nifti1Image(values, affine)
    image.header.set_xyzt_units("mm")
    image.set_qform(affine, code=1)
    image.set_sform(affine, code=1)
    if grey is not None:
        image.header.set_slope_inter(grey.step_hu, grey.lowest_hu)  # nibabel then stores the values as they are
    return image.to_bytes()


def _middle(mask: np.ndarray) -> tuple[float, float, float]:
    """Return the voxel of the mask that is nearest to its centre, or the middle of the grid, as shares of the axes."""
    inside = np.argwhere(mask)
    if not len(inside):
        return 0.5, 0.5, 0.5
    nearest = inside[np.square(inside - inside.mean(axis=0)).sum(axis=1).argmin()]
    x, y, z = ((index + 0.5) / n for index, n in zip(nearest, mask.shape))
    return float(x), float(y), float(z)
