"""The mask cut out of its scan, which is all that measuring needs."""

from __future__ import annotations

from dataclasses import dataclass

import nibabel as nib
import numpy as np
import torch
from monai.data import MetaTensor

from bundle.errors import bad_input
from bundle.geometry import Box, as_size, spacing_of, tight_box
from bundle.read.checks import same_grid


@dataclass(frozen=True)
class Gland:
    """The box around a mask, its axes turned to the order that is nearest to RAS.

    Attributes:
        inside: boolean (X, Y, Z); true voxels, and the margin that the scan has around them.
        affine: (4, 4), voxel of ``inside`` to mm, RAS+; any spacing, oblique or sheared.
        before: voxels of the scan on the low side (left, posterior, inferior) of ``inside``.
        after: the same on the high side (right, anterior, superior).
        hu: the scan in the box, (X, Y, Z), or None.
    """

    inside: np.ndarray
    affine: np.ndarray
    before: tuple[int, int, int]
    after: tuple[int, int, int]
    hu: np.ndarray | None

    @property
    def spacing_mm(self) -> tuple[float, float, float]:
        """Edge lengths of a voxel."""
        return spacing_of(self.affine)

    @property
    def voxel_ml(self) -> float:
        """Volume of a voxel in millilitres."""
        return abs(float(np.linalg.det(self.affine[:3, :3]))) / 1000


def cut_out(mask: MetaTensor, image: MetaTensor | None = None, margin_mm: float = 0.0) -> Gland | None:
    """Return the box around the voxels of ``mask`` (1, X, Y, Z) other than 0, or None if there are none.

    Args:
        mask: with affine, voxel to mm, RAS+.
        image: the scan in HU, on the same voxels; its axes may be in another order or direction.
        margin_mm: the box is larger by this, to the next voxel and as far as the scan goes.

    Raises:
        InputError: a mask without volume (an affine of determinant 0), or an image on another grid.
    """
    affine = _affine_of(mask, "mask")
    voxels = _voxels_of(mask, "mask")
    scan = None if image is None else _on_axes_of(affine, voxels.shape, image)
    box = tight_box(torch.from_numpy(voxels))
    if box is None:
        return None
    size = as_size(voxels.shape)
    box = box.grow([int(n) for n in np.ceil(margin_mm / plane_distance_mm(affine))]).clip(size)
    return _turned_to_ras(voxels[box.slices] != 0, None if scan is None else scan[box.slices], affine, box, size)


def plane_distance_mm(affine: np.ndarray) -> np.ndarray:
    """Return how far neighbouring planes of voxels are apart across each axis, (3,): less than the edge if sheared."""
    return 1 / np.linalg.norm(np.linalg.inv(affine[:3, :3]), axis=1)


def _turned_to_ras(
    inside: np.ndarray, hu: np.ndarray | None, affine: np.ndarray, box: Box, size: tuple[int, int, int]
) -> Gland:
    orientation = nib.io_orientation(affine)
    affine = affine.copy()
    affine[:3, 3] += affine[:3, :3] @ box.start
    before, after = [0, 0, 0], [0, 0, 0]
    for axis, (target, direction) in enumerate(orientation.astype(int)):
        ends = box.start[axis], size[axis] - box.stop[axis]
        before[target], after[target] = ends[::direction]
    return Gland(
        np.ascontiguousarray(nib.apply_orientation(inside, orientation)),
        affine @ nib.orientations.inv_ornt_aff(orientation, inside.shape),
        as_size(before),
        as_size(after),
        None if hu is None else nib.apply_orientation(hu, orientation),
    )


def _on_axes_of(affine: np.ndarray, shape: tuple[int, ...], image: MetaTensor) -> np.ndarray:
    """Return the voxels of ``image``, a view, in the order of a mask of ``affine`` and ``shape``.

    The cascade's mask returns to the scan's own grid, whereas the scan stays as it was turned for the networks.
    """
    image_affine, voxels = _affine_of(image, "image"), _voxels_of(image, "image")
    steps = np.linalg.solve(affine[:3, :3], image_affine[:3, :3])
    targets = np.abs(steps).argmax(axis=0)
    if sorted(targets) == [0, 1, 2]:
        orientation = np.stack([targets, np.sign(steps[targets, range(3)])], axis=1)
        turned = nib.apply_orientation(voxels, orientation)
        turned_affine = image_affine @ nib.orientations.inv_ornt_aff(orientation, voxels.shape)
        if turned.shape == shape and same_grid(turned_affine, affine, shape):
            return turned
    rule, received = "the mask and the image are on the same voxels", f"{shape} and {voxels.shape}, or other affines"
    raise bad_input("image", rule, received, "Bring the mask back onto the scan's grid first.")


def _voxels_of(volume: MetaTensor, name: str) -> np.ndarray:
    if volume.ndim != 4 or len(volume) != 1:
        raise bad_input(name, "a volume is (1, X, Y, Z)", str(tuple(volume.shape)), "Give one channel and no batch.")
    return volume.detach().cpu().numpy()[0]


def _affine_of(volume: MetaTensor, name: str) -> np.ndarray:
    affine = np.asarray(volume.affine, dtype=float)
    if not np.isfinite(affine).all() or abs(np.linalg.det(affine[:3, :3])) < 1e-9:
        raise bad_input(name, "the affine can be inverted", str(affine.tolist()), "Correct the header.")
    return affine
