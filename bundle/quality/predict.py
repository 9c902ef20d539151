"""The Dice that the opinions about a mask let one expect, by the calibration that ships with the bundle."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path

from bundle.quality.calibration import Calibration

CALIBRATION = Path(__file__).with_name("calibration.json")


def predict_dice(opinions: Mapping[str, float | None]) -> float | None:
    """Return the predicted Dice in [0, 1] of a mask of the default system.

    None where opinions are missing: for an empty mask, without a localizer, for a system that doesn't form them.

    Args:
        opinions: of :func:`bundle.quality.opinions.opinions`, with whatever others.
    """
    return _shipped()(opinions)


@lru_cache(maxsize=1)
def _shipped() -> Calibration:
    return Calibration.read(CALIBRATION)
