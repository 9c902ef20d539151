"""Random plain numbers from an explicit generator."""

from __future__ import annotations

from collections.abc import Mapping

import torch


def uniform(generator: torch.Generator, low: float, high: float) -> float:
    """A number in [low, high)."""
    return low + (high - low) * float(torch.rand((), generator=generator))


def normal(generator: torch.Generator, mean: float, sd: float) -> float:
    """A normally distributed number."""
    return mean + sd * float(torch.randn((), generator=generator))


def chance(generator: torch.Generator, probability: float) -> bool:
    """True with ``probability``."""
    return uniform(generator, 0, 1) < probability


def pick(generator: torch.Generator, shares: Mapping[str, float]) -> str:
    """One of the keys, in proportion to its share."""
    names = list(shares)
    weights = torch.tensor([shares[name] for name in names], dtype=torch.float32)
    return names[int(torch.multinomial(weights, 1, generator=generator))]
