"""The body in a CT scan: what is neither the air around the patient nor the table."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from scipy import ndimage

from bundle.cleanup import keep_components
from bundle.geometry import Box, Grid, as_size, tight_box

_IN_PLANE = np.zeros((3, 3, 3), dtype=bool)
_IN_PLANE[1, :, 1] = _IN_PLANE[:, 1, 1] = True  # the four neighbours in the axial plane


def body_mask(image_hu: torch.Tensor, threshold_hu: float = -500.0, opening: int = 2) -> torch.Tensor:
    """Return where the patient is, bool (X, Y, Z): the largest opened component, its holes filled in axial slices.

    Roth 2018, sec. 2, "thresholding, hole filling and the largest component"; threshold, erosions and dilations are the
    authors' code's, at half the resolution of the scan. Beyond the border of the scan the body is taken to go on as it
    ends, so that the first and the last slices stay (the code counts it as air). Lungs and gas inside the patient are
    holes, and filled; air that reaches the border of a slice is not. A scan of air gives an empty mask.

    Args:
        image_hu: (X, Y, Z).
        threshold_hu: the least of the body.
        opening: how often the mask is eroded and then, the largest component (26 neighbours) alone, dilated by the full
            3×3×3 cube: it parts the table and clothes from the body.
    """
    body = (image_hu >= threshold_hu).cpu().numpy()
    body = ~_dilated(~body, opening)
    body = keep_components(torch.from_numpy(body), min_share=1).numpy()
    return torch.from_numpy(_slices_filled(_dilated(body, opening))).to(image_hu.device)


def body_box(image_hu: torch.Tensor, step: int = 2, **mask_options: float) -> Box:
    """Return the tight box of :func:`body_mask`, in voxels of ``image_hu`` (X, Y, Z); all of the scan without a body.

    Xue 2019, sec. III-C: the image is cropped "to delete nonabdomen regions by selecting the maximum connected area
    automatically". How is not said; the mask is Roth's.

    Args:
        image_hu: (X, Y, Z).
        step: looks at one voxel of every ``step`` along each axis.
        **mask_options: of :func:`body_mask`, in voxels that are ``step`` apart.
    """
    whole = Grid(as_size(image_hu.shape), (1, 1, 1))
    coarse = image_hu[::step, ::step, ::step]
    box = tight_box(body_mask(coarse, **mask_options))  # type: ignore[arg-type]
    if box is None:
        return whole.box
    # Between the last voxel looked at that is air and the first that is body, all may be body.
    return Box(as_size(a * step - step + 1 for a in box.start), as_size(b * step for b in box.stop)).clip(whole.size)


def _dilated(mask: np.ndarray, times: int) -> np.ndarray:
    """Return ``mask`` dilated by the cube of 2·times + 1 voxels, axis by axis."""
    for axis in range(3):
        before = np.moveaxis(mask, axis, 0)
        mask = mask.copy()
        after = np.moveaxis(mask, axis, 0)
        for shift in range(1, times + 1):
            after[shift:] |= before[:-shift]
            after[:-shift] |= before[shift:]
    return mask


def _slices_filled(mask: np.ndarray) -> np.ndarray:
    """Return ``mask`` with the air in each axial slice that no path in the slice leads out of."""
    components: Any
    components, count = ndimage.label(~mask, structure=_IN_PLANE)
    open_air = np.zeros(count + 1, dtype=bool)
    for border in (components[0], components[-1], components[:, 0], components[:, -1]):
        open_air[border.ravel()] = True
    open_air[0] = False
    return ~open_air[components]
