"""How lobulated the gland's surface is."""

from __future__ import annotations

import numpy as np
from scipy import ndimage, signal
from skimage.measure import find_contours

from bundle.measure.gland import Gland

WINDOW_MM = 20.0
SMOOTHING_MM = 0.7
MAX_SPACING_MM = 2.0

_STEP_MM = 0.5  # between the points of an outline
_DEGREE = 3


def surface_lobularity_mm(gland: Gland) -> float | None:
    """Return the mean distance in mm of the gland's outline in axial slices from a smoothed version of itself.

    The definition is that of the liver surface nodularity score (Smith 2016, Radiology 280(3)), carried over to the
    pancreas as pancreatic surface lobularity (Mathai 2025, https://arxiv.org/abs/2511.10484): the distance between the
    detected outline and a polynomial fitted to it. They take it on a part of the surface; here all of it counts. The
    polynomial is a cubic fitted to each point's :data:`WINDOW_MM` of outline (Savitzky and Golay 1964), so that the
    curve of the organ itself is kept; the distance is taken along the normal of the smooth outline. Before, the mask is
    smoothed in the slice by a Gaussian of :data:`SMOOTHING_MM`, which takes off the steps of the voxels.

    Slices are those across the voxel axis nearest to the patient's. Holes and outlines shorter than twice the window
    are left out; None if none remains, or if voxels in the slice are longer than :data:`MAX_SPACING_MM`: their steps
    are then as large as lobules.
    """
    if max(gland.spacing_mm[:2]) > MAX_SPACING_MM:
        return None
    distances = [d for outline in _outlines_mm(gland) if len(d := _from_smooth(outline))]
    return float(np.concatenate(distances).mean()) if distances else None


def _outlines_mm(gland: Gland) -> list[np.ndarray]:
    """Return the closed outlines of all axial slices as (N, 2) points every :data:`_STEP_MM`, long ones only.

    Distances in a slice are all that matters: its two axes are laid out in a plane, sheared or not.
    """
    margin = 3
    axes_mm = np.linalg.cholesky(gland.affine[:3, :2].T @ gland.affine[:3, :2]).T
    sigmas = [SMOOTHING_MM / s for s in gland.spacing_mm[:2]]
    outlines = []
    for z in np.flatnonzero(gland.inside.any(axis=(0, 1))):
        filled = ndimage.binary_fill_holes(np.pad(gland.inside[..., z], margin + int(np.ceil(max(sigmas)))))
        soft = ndimage.gaussian_filter(filled.astype(np.float32), sigmas, truncate=3.0)
        for contour in find_contours(soft, 0.5):
            outline = _evenly(contour @ axes_mm.T)
            if len(outline) * _STEP_MM >= 2 * WINDOW_MM:
                outlines.append(outline)
    return outlines


def _evenly(points_mm: np.ndarray) -> np.ndarray:
    """Return points of a closed line (first and last are the same) at even distances of about :data:`_STEP_MM`."""
    along = np.concatenate([[0], np.cumsum(np.linalg.norm(np.diff(points_mm, axis=0), axis=1))])
    wanted = np.linspace(0, along[-1], int(along[-1] / _STEP_MM), endpoint=False)
    return np.stack([np.interp(wanted, along, axis) for axis in points_mm.T], axis=1)


def _from_smooth(outline_mm: np.ndarray) -> np.ndarray:
    """Return the distance of each point of a closed line (N, 2) from the smooth one, across its direction."""
    window = int(WINDOW_MM / _STEP_MM) | 1
    smooth, tangent = (
        signal.savgol_filter(outline_mm, window, _DEGREE, deriv=deriv, axis=0, mode="wrap") for deriv in (0, 1)
    )
    length = np.linalg.norm(tangent, axis=1)
    along = length > 0
    offset, tangent = (outline_mm - smooth)[along], tangent[along] / length[along, None]
    return np.abs(offset[:, 0] * tangent[:, 1] - offset[:, 1] * tangent[:, 0])
