"""Noise and photon starvation: what few photons leave behind."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional

from bundle.rendering.draws import generator_on, uniform
from bundle.rendering.scanner.grid import TISSUE_DENSITY, ScanGrid

WATER_PER_MM = 0.02  # linear attenuation of water at about 70 keV


def add_noise(
    image: Tensor, grid: ScanGrid, noise_hu: float, peak_per_mm: float, starvation: bool, generator: torch.Generator
) -> None:
    """Add noise, more of it where rays cross more tissue.

    Args:
        image: (Z, Y, X) on ``grid``, HU above air; changed.
        grid: the scan's; slices that overlap share noise.
        noise_hu: standard deviation, mean over the body.
        peak_per_mm: spatial frequency at which the power peaks.
        starvation: also add horizontal streaks in the slices and rows that attenuate most.
        generator: of everything random.
    """
    source = generator_on(image.device, generator)
    per_pixel = WATER_PER_MM * grid.pixel_mm / 1000
    across, down = image.sum(2) * per_pixel, image.sum(1) * per_pixel  # (Z, Y) and (Z, X) attenuation lengths
    level = (0.18 * across).clamp(max=3).exp()[:, :, None] + (0.18 * down).clamp(max=3).exp()[:, None, :]
    inside = image > TISSUE_DENSITY
    usual = float(level[inside].mean()) if bool(inside.any()) else 1.0
    noise = _shared_by_neighbours(_filtered_noise(image.shape, grid.pixel_mm, peak_per_mm, source), grid.overlap)
    noise *= level.mul_(noise_hu / usual)
    image += noise
    if starvation:
        excess = (across - across[across > 1].median()).clamp(min=0) if bool((across > 1).any()) else across
        image += _horizontal_streaks(excess * uniform(generator, 2, 9), image.shape[2], grid.pixel_mm, source)


def _shared_by_neighbours(noise: Tensor, overlap: float) -> Tensor:
    """Unit noise of slices that share ``overlap`` of their rays with each neighbour."""
    if overlap == 0:
        return noise
    side = 0.5 * overlap
    shared = noise.clone()
    shared[1:] += side * noise[:-1]
    shared[:-1] += side * noise[1:]
    return shared / math.sqrt(1 + 2 * side * side)


def _filtered_noise(shape: torch.Size, pixel_mm: float, peak_per_mm: float, source: torch.Generator) -> Tensor:
    r"""Unit noise with the power :math:`f\,e^{-f^2/2p^2}` of filtered back-projection in the plane.

    Ramp filter and soft window, after Riederer et al. 1978 (Phys Med Biol 23:446); ``peak_per_mm`` is :math:`p`.
    Two slices come from one complex transform.
    """
    slices, rows, columns = shape
    device = source.device
    along_rows = torch.fft.fftfreq(rows, pixel_mm, device=device)
    along_columns = torch.fft.fftfreq(columns, pixel_mm, device=device)
    frequency = (along_rows[:, None] ** 2 + along_columns**2).sqrt()
    low = 0.03 * peak_per_mm * (frequency < peak_per_mm)
    power = frequency * torch.exp(-0.5 * (frequency / peak_per_mm) ** 2) + low
    spectrum = (power / power.mean()).sqrt() * math.sqrt(rows * columns)
    noise = torch.empty(shape, device=device)
    for first in range(0, slices, 2):
        white = torch.randn((rows, columns, 2), generator=source, device=device)
        pair = torch.fft.ifft2(torch.view_as_complex(white) * spectrum)
        noise[first] = pair.real
        if first + 1 < slices:
            noise[first + 1] = pair.imag
    return noise


def _horizontal_streaks(strength_hu: Tensor, columns: int, pixel_mm: float, source: torch.Generator) -> Tensor:
    """Noise of (Z, Y) strength that is fine across the streaks and some 6 cm long along them."""
    knots = max(2, math.ceil(columns * pixel_mm / 60) + 1)
    white = torch.randn((*strength_hu.shape, knots), generator=source, device=strength_hu.device)
    white[:, 1:] = 0.7 * white[:, 1:] + 0.7 * white[:, :-1]
    return strength_hu[..., None] * functional.interpolate(white, columns, mode="linear", align_corners=True)
