"""Plain numbers, random ones from an explicit generator."""

from __future__ import annotations

from collections.abc import Mapping

import torch


def uniform(generator: torch.Generator, low: float, high: float) -> float:
    """A number in [low, high)."""
    return low + (high - low) * float(torch.rand((), generator=generator))


def normal(generator: torch.Generator, mean: float, sd: float) -> float:
    """A normally distributed number."""
    return mean + sd * float(torch.randn((), generator=generator))


def bounded_normal(generator: torch.Generator, sd: float = 1.0) -> float:
    """A normally distributed number of mean 0, kept within two standard deviations."""
    return sd * min(max(normal(generator, 0, 1), -2.0), 2.0)


def chance(generator: torch.Generator, probability: float) -> bool:
    """True with ``probability``."""
    return uniform(generator, 0, 1) < probability


def pick(generator: torch.Generator, shares: Mapping[str, float]) -> str:
    """One of the keys, in proportion to its share."""
    names = list(shares)
    weights = torch.tensor([shares[name] for name in names], dtype=torch.float32)
    return names[int(torch.multinomial(weights, 1, generator=generator))]


def integer(generator: torch.Generator, stop: int) -> int:
    """One of 0, 1 ... ``stop`` - 1."""
    return int(torch.randint(stop, (), generator=generator))


def generator_on(device: torch.device | str, generator: torch.Generator) -> torch.Generator:
    """A generator on ``device``, where whole volumes are drawn; one number of ``generator`` seeds it."""
    return torch.Generator(device).manual_seed(integer(generator, 2**31))


def between(limits: tuple[float, float], fraction: float) -> float:
    """The number at ``fraction`` of the way from the lower to the upper limit."""
    return limits[0] + (limits[1] - limits[0]) * fraction


def between_logs(limits: tuple[float, float], fraction: float) -> float:
    """The same on a logarithmic scale."""
    return limits[0] * (limits[1] / limits[0]) ** fraction
