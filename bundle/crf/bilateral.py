"""The appearance kernel of the CRF: neighbours of like intensity want the same label."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from bundle.crf.gaussian import along_axis, gaussian_factor, gaussian_nodes, node_weights


class BilateralKernel:
    r"""Gaussian of distance and gray level.

    :math:`k^{(2)} = \exp(-\sum_d (p_{i,d} - p_{j,d})^2 / 2\sigma_{\beta,d}^2 - (I_i - I_j)^2 / 2\sigma_\gamma^2)`,
    Xue 2019, sec. II-C, eq. 11; symmetrically normalised, :math:`D^{-1/2} K D^{-1/2}` with the row sums D of the kernel
    inside the volume. On a bilateral grid (Paris and Durand 2006, https://doi.org/10.1007/11744085_44) of positions and
    gray levels, with one difference: values are spread onto the grid, and read off it, with Gaussian weights that
    together are the kernel (:mod:`bundle.crf.gaussian`), instead of multilinear ones with a blur in between. So the
    bins of gray levels don't mix, and one at a time is in memory: the time grows with their number, the memory doesn't.

    Args:
        gray: (X, Y, Z) gray levels in [0, 255].
        sigma_voxels: (X, Y, Z).
        sigma_gray: in gray levels.
        step: distance of the grid's nodes as a share of sigma, in space and in gray levels.
    """

    def __init__(self, gray: torch.Tensor, sigma_voxels: Sequence[float], sigma_gray: float, step: float) -> None:
        self.step = step
        self.gray_in_sigmas = gray / sigma_gray
        self.bins = gaussian_nodes(255 / sigma_gray, step).tolist()
        self.factors = [gaussian_factor(n, s, step).float().to(gray.device) for n, s in zip(gray.shape, sigma_voxels)]
        self.root = self._filter(torch.ones_like(gray)[None]).rsqrt_()

    def __call__(self, volume: torch.Tensor) -> torch.Tensor:
        """Return ``volume`` (K, X, Y, Z) filtered."""
        return self._filter(volume * self.root).mul_(self.root)

    def _filter(self, volume: torch.Tensor) -> torch.Tensor:
        result = torch.zeros_like(volume)
        for gray_bin in self.bins:
            weight = node_weights(self.gray_in_sigmas, gray_bin, self.step)
            result.addcmul_(weight, self._gaussian(weight * volume))
        return result

    def _gaussian(self, volume: torch.Tensor) -> torch.Tensor:
        for axis in (-1, -2, -3):
            volume = along_axis(volume, self.factors[axis], axis)
        for axis in (-3, -2, -1):
            volume = along_axis(volume, self.factors[axis].T, axis)
        return volume
