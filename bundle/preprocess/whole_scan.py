"""Intensities that depend on more of the scan than a stage looks at."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol, runtime_checkable

import torch


@runtime_checkable
class WholeScanIntensity(Protocol):
    """Network input from Hounsfield units by what the whole scan is like, whichever part of it is looked at.

    A :class:`~bundle.cascade.Stage` whose ``intensity`` can do this shows it the whole scan first. In training it acts
    on the whole scan, before that is cropped.
    """

    def __call__(self, image_hu: torch.Tensor) -> torch.Tensor:
        """Return the network input (C, X, Y, Z) for a whole scan ``image_hu`` (1, X, Y, Z)."""
        ...

    def fitted(self, scan_hu: torch.Tensor) -> Callable[[torch.Tensor], torch.Tensor]:
        """Return what turns any part of the scan ``scan_hu`` (1, X, Y, Z) into network input."""
        ...
