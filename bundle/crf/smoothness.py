"""The smoothness kernel of the CRF: neighbours in space want the same label."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from bundle.crf.gaussian import along_axis, gaussian_matrix


class SmoothnessKernel:
    r"""Gaussian of the distance, :math:`k^{(1)} = \exp(-\sum_d (p_{i,d} - p_{j,d})^2 / 2\sigma_{\alpha,d}^2)`.

    Xue 2019, sec. II-C, eq. 10; symmetrically normalised, :math:`D^{-1/2} K D^{-1/2}` with the row sums D of the kernel
    inside the volume. Kernel and row sums are products over the axes, so one small matrix per axis holds all of it, and
    nothing is truncated.

    Args:
        size: (X, Y, Z) voxels.
        sigma_voxels: (X, Y, Z).
        device: of the volumes to filter.
    """

    def __init__(self, size: Sequence[int], sigma_voxels: Sequence[float], device: torch.device) -> None:
        self.matrices = [_normalized(gaussian_matrix(n, s)).float().to(device) for n, s in zip(size, sigma_voxels)]

    def __call__(self, volume: torch.Tensor) -> torch.Tensor:
        """Return ``volume`` (K, X, Y, Z) filtered."""
        for axis, matrix in zip((-3, -2, -1), self.matrices):
            volume = along_axis(volume, matrix, axis)
        return volume


def _normalized(kernel: torch.Tensor) -> torch.Tensor:
    root = kernel.sum(dim=1).rsqrt()
    return root[:, None] * kernel * root
