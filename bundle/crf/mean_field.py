"""The fully connected CRF itself: probabilities refined by mean-field iterations."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch

from bundle.crf.bilateral import BilateralKernel
from bundle.crf.smoothness import SmoothnessKernel


class DenseCRF:
    r"""Probabilities of neighbouring and alike voxels drawn together: every pair of voxels of the region is connected.

    Xue 2019, sec. II-C, eq. 5-11: the labels S of low energy
    :math:`\sum_i -\log P(S_i) + \sum_{i < j} [S_i \ne S_j] (\omega_1 k^{(1)}_{ij} + \omega_2 k^{(2)}_{ij})`.
    The paper gives no parameter and doesn't say how the energy is lowered. We take the mean field of Krähenbühl and
    Koltun 2011 (https://arxiv.org/abs/1210.5644),
    :math:`Q \leftarrow \mathrm{softmax}(\log P + \omega_1 \tilde K_1 Q + \omega_2 \tilde K_2 Q)` from Q = P, as the
    public 3-D implementations do: kernels symmetrically normalised, :math:`\tilde K = D^{-1/2} K D^{-1/2}` with row
    sums D, so that a weight means the same for every width; a voxel counted among its own neighbours, although the
    energy has no such pair; P clipped to [1e-5, 1 - 1e-5]. The parameters' values are ours.

    Args:
        iterations: of the mean field.
        sigma_alpha_mm: (X, Y, Z) width of the smoothness kernel.
        weight_alpha: of the smoothness kernel.
        sigma_beta_mm: (X, Y, Z) width in space of the appearance kernel.
        weight_beta: of the appearance kernel.
        sigma_gamma: width of the appearance kernel in gray levels, of which ``window_hu`` has 256.
        window_hu: Hounsfield units that become gray levels 0 and 255; what lies outside is clipped.
        step: distance of the bilateral grid's nodes as a share of sigma: smaller is more exact and slower. At the
            default a probability is off by less than 1e-3.
    """

    def __init__(
        self,
        iterations: int = 5,
        sigma_alpha_mm: Sequence[float] = (3, 3, 3),
        weight_alpha: float = 3,
        sigma_beta_mm: Sequence[float] = (5, 5, 5),
        weight_beta: float = 5,
        sigma_gamma: float = 10,
        window_hu: tuple[float, float] = (-100, 240),
        step: float = 0.7,
    ) -> None:
        if iterations < 1:
            raise ValueError(f"iterations must be at least 1, got {iterations}")
        for name, sigma in (("alpha", sigma_alpha_mm), ("beta", sigma_beta_mm), ("gamma", [sigma_gamma])):
            if min(sigma) <= 0:
                raise ValueError(f"sigma_{name} must be positive, got {sigma}")
        if min(weight_alpha, weight_beta) < 0:
            raise ValueError(f"weights must not be negative, got {weight_alpha} and {weight_beta}")
        if window_hu[0] >= window_hu[1]:
            raise ValueError(f"a window runs from a lower to a higher Hounsfield unit, got {window_hu}")
        if not 0 < step <= 1:
            raise ValueError(f"step must be above 0 and at most 1, got {step}")
        self.iterations = iterations
        self.sigma_alpha_mm = tuple(sigma_alpha_mm)
        self.weight_alpha = weight_alpha
        self.sigma_beta_mm = tuple(sigma_beta_mm)
        self.weight_beta = weight_beta
        self.sigma_gamma = sigma_gamma
        self.window_hu = tuple(window_hu)
        self.step = step

    @torch.no_grad()
    def __call__(
        self, probability: torch.Tensor, image_hu: torch.Tensor, spacing_mm: Sequence[float]
    ) -> torch.Tensor:
        """Return refined foreground probabilities (K, X, Y, Z) in float32; the background has the rest.

        A class that is nowhere above 1e-5 is returned as it came, and so is everything where both weights are 0.

        Args:
            probability: (K, X, Y, Z) of the foreground classes.
            image_hu: (1, X, Y, Z) Hounsfield units on the same grid.
            spacing_mm: (X, Y, Z) of the grid.

        Raises:
            ValueError: for shapes that don't fit, and for NaN or infinity.
        """
        _check(probability, image_hu)
        # A copy without history or autocast: kernels and exponentials need float32.
        result = probability.as_subclass(torch.Tensor).to(torch.float32, copy=True)
        present = result.flatten(1).amax(dim=1) > _CLIP
        if present.any() and (self.weight_alpha or self.weight_beta):
            with torch.autocast(result.device.type, enabled=False):
                kernels = self._kernels(image_hu.as_subclass(torch.Tensor)[0].to(result), spacing_mm)
                result[present] = self._mean_field(result[present], kernels)
        return result

    def _kernels(self, image_hu: torch.Tensor, spacing_mm: Sequence[float]) -> list[tuple[float, _Kernel]]:
        """Return weights and kernels, those of weight 0 left out."""
        kernels: list[tuple[float, _Kernel]] = []
        if self.weight_alpha:
            sigma = [mm / s for mm, s in zip(self.sigma_alpha_mm, spacing_mm)]
            kernels.append((self.weight_alpha, SmoothnessKernel(image_hu.shape, sigma, image_hu.device)))
        if self.weight_beta:
            sigma = [mm / s for mm, s in zip(self.sigma_beta_mm, spacing_mm)]
            low, high = self.window_hu
            gray = (image_hu.clamp(low, high) - low) * (255 / (high - low))
            kernels.append((self.weight_beta, BilateralKernel(gray, sigma, self.sigma_gamma, self.step)))
        return kernels

    def _mean_field(self, probability: torch.Tensor, kernels: Sequence[tuple[float, _Kernel]]) -> torch.Tensor:
        """Return refined probabilities (K, X, Y, Z)."""
        # The background is the rest of 1, and filters are linear: its message is the rest of the message of 1.
        message_of_one = _message(torch.ones_like(probability[:1]), kernels)
        log_probability = torch.cat([1 - probability.sum(dim=0, keepdim=True), probability])
        log_probability.clamp_(_CLIP, 1 - _CLIP).log_()
        refined = log_probability.softmax(dim=0)[1:]
        for _ in range(self.iterations):
            foreground = _message(refined, kernels)
            background = message_of_one - foreground.sum(dim=0, keepdim=True)
            refined = torch.cat([background, foreground]).add_(log_probability).softmax(dim=0)[1:]
        return refined


_CLIP = 1e-5
_Kernel = Callable[[torch.Tensor], torch.Tensor]


def _message(volume: torch.Tensor, kernels: Sequence[tuple[float, _Kernel]]) -> torch.Tensor:
    result = torch.zeros_like(volume)
    for weight, kernel in kernels:
        result.add_(kernel(volume), alpha=weight)
    return result


def _check(probability: torch.Tensor, image_hu: torch.Tensor) -> None:
    if probability.ndim != 4 or image_hu.shape != (1, *probability.shape[1:]):
        raise ValueError(
            f"probability must be (K, X, Y, Z) and image_hu (1, X, Y, Z), got {tuple(probability.shape)} and "
            f"{tuple(image_hu.shape)}"
        )
    for name, values in (("probability", probability), ("image_hu", image_hu)):
        if not values.isfinite().all():
            raise ValueError(f"{name} must be finite, got NaN or infinity")
