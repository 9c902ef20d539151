"""What speaks for and against a mask before anyone has seen the truth: how far the cascade's own opinions agree."""

from __future__ import annotations

import cc3d
import numpy as np
import torch

from bundle.geometry import Box, Grid, tight_box

LOOSE, STRICT = 0.3, 0.7
"""Thresholds around the usual 0.5: how much the mask depends on it."""

CONFIDENT = 0.9
FAINT = 0.2
MIN_PIECE_ML = 0.1

OPINIONS = (
    "coarse_fine_dice",
    "coarse_probability",
    "second_look_dice",
    "stability_dice",
    "expected_dice",
    "mean_probability",
    "confident_share",
    "faint_ratio",
    "boundary_entropy",
    "pieces",
    "largest_share",
    "volume_ml",
    "border_share",
)
"""Names that :func:`opinions` returns."""


def opinions(
    fine: torch.Tensor,
    box: Box,
    scan_grid: Grid,
    coarse: torch.Tensor | None = None,
    again: torch.Tensor | None = None,
    threshold: float = 0.5,
) -> dict[str, float | None]:
    r"""Return plain numbers about the mask M = {p >= threshold}, named as in :data:`OPINIONS`.

    With p the segmenter's probability, r that of its second look and q the localizer's, A(x) = {p >= x}, sums over the
    voxels of the box:

    - ``coarse_fine_dice``: Dice of M and {q >= threshold}; None without ``coarse``.
    - ``coarse_probability``: mean of q in M; None without ``coarse``.
    - ``second_look_dice``: Dice of M and {r >= threshold}; None without ``again``.
    - ``stability_dice``: Dice of A(0.3) and A(0.7).
    - ``expected_dice``: :math:`2 \sum_M p / (|M| + \sum p)`, the Dice that M would have if p were right.
    - ``mean_probability``: mean of p in M.
    - ``confident_share``: \|A(0.9)\| / \|M\|.
    - ``faint_ratio``: \|A(0.2)\| / \|M\|, 1 or more.
    - ``boundary_entropy``: mean entropy of p, in bits, over the voxels on both sides of the surface of M.
    - ``pieces``: 26-connected pieces of M of at least 0.1 ml, 1 at least.
    - ``largest_share``: of M that is in its largest piece.
    - ``volume_ml``: of M.
    - ``border_share``: of M that lies in the outermost voxels of the scan.

    An empty mask has the volume 0, and nothing else can be said of it: all other values are None.

    Args:
        fine: (X, Y, Z), the segmenter's probability on ``box``.
        box: voxels of the scan.
        scan_grid: the scan's own.
        coarse: (X, Y, Z), the localizer's probability on the same voxels; None where there is no localizer.
        again: (X, Y, Z), the segmenter's probability on the same voxels when it saw the box on another grid; None
            where it looked once.
        threshold: least probability of the mask.
    """
    empty: dict[str, float | None] = dict.fromkeys(OPINIONS) | {"volume_ml": 0.0}
    seen = tight_box(fine >= min(FAINT, threshold))
    if seen is None or not (fine >= threshold).any():
        return empty
    agreement = {
        name: dice(fine >= threshold, (other >= threshold).to(fine.device))
        for name, other in (("coarse_fine_dice", coarse), ("second_look_dice", again))
        if other is not None
    }
    # All else happens where there is some probability: the rest of the box adds to the sum alone.
    total = float(fine.sum(dtype=torch.float64))
    fine = seen.crop(fine)
    mask = fine >= threshold
    inside = fine[mask].double()
    n = len(inside)
    sizes = _piece_sizes(mask)
    result = empty | agreement | {
        "stability_dice": dice(fine >= LOOSE, fine >= STRICT),
        "expected_dice": 2 * float(inside.sum()) / (n + total),
        "mean_probability": float(inside.mean()),
        "confident_share": int((inside >= CONFIDENT).sum()) / n,
        "faint_ratio": int((fine >= FAINT).sum()) / n,
        "boundary_entropy": float(_entropy_bits(fine[_surface(mask)]).mean()) if not mask.all() else 0.0,
        "pieces": float(max(1, int((sizes * scan_grid.voxel_ml >= MIN_PIECE_ML).sum()))),
        "largest_share": float(sizes.max()) / n,
        "volume_ml": n * scan_grid.voxel_ml,
        "border_share": int(_outermost(mask, seen, box, scan_grid).sum()) / n,
    }
    if coarse is not None:
        result["coarse_probability"] = float(seen.crop(coarse).to(fine.device)[mask].double().mean())
    return result


def dice(a: torch.Tensor | np.ndarray, b: torch.Tensor | np.ndarray) -> float:
    """Return the Dice of two boolean masks on one grid; of two empty ones it is 1."""
    total = int(a.sum()) + int(b.sum())
    return 2 * int((a & b).sum()) / total if total else 1.0


def _piece_sizes(mask: torch.Tensor) -> np.ndarray:
    """Return the numbers of voxels of the 26-connected pieces."""
    pieces = cc3d.connected_components(mask.cpu().numpy().astype(np.uint8), connectivity=26)
    return np.bincount(pieces.ravel())[1:]


def _surface(mask: torch.Tensor) -> torch.Tensor:
    """Return the voxels of which a face neighbour is on the other side of the mask's surface."""
    surface = torch.zeros_like(mask)
    for axis, length in enumerate(mask.shape):
        crossed = mask.narrow(axis, 1, length - 1) != mask.narrow(axis, 0, length - 1)
        surface.narrow(axis, 1, length - 1).logical_or_(crossed)
        surface.narrow(axis, 0, length - 1).logical_or_(crossed)
    return surface


def _entropy_bits(probability: torch.Tensor) -> torch.Tensor:
    p = probability.double()
    return -(torch.special.xlogy(p, p) + torch.special.xlogy(1 - p, 1 - p)) / np.log(2)


def _outermost(mask: torch.Tensor, seen: Box, box: Box, scan_grid: Grid) -> torch.Tensor:
    """Return the part of ``mask``, on ``seen`` of ``box``, that lies in a first or last slice of the scan."""
    outermost = torch.zeros_like(mask)
    for axis in range(3):
        first = box.start[axis] + seen.start[axis]
        if first == 0:
            outermost.select(axis, 0).logical_or_(mask.select(axis, 0))
        if first + mask.shape[axis] == scan_grid.size[axis]:
            outermost.select(axis, -1).logical_or_(mask.select(axis, -1))
    return outermost
