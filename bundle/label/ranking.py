"""Which study to label next: the one whose mask is probably worst."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

QUALITY_KEYS = ("outcome", "predicted_dice", "scored_with")
"""What the server keeps of a study's answer in its data store; ``scored_with`` is the version of the weights."""

_WITHOUT_ORGAN = ("outside_field_of_view",)
_UNUSABLE = ("invalid_input", "failed")


def ranked(studies: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """Return the names of the studies, the one to label first leading.

    In this order: those with a mask or where the organ was not found (a predicted Dice of 0), the lowest predicted Dice
    first; those not segmented yet; those that don't show the place of the organ; those that cannot be used. By name
    where all else is equal.

    Args:
        studies: by name, what is known of each: ``outcome`` and ``predicted_dice``, nothing if it wasn't segmented.
    """
    return sorted(studies, key=_Rank(studies))


class _Rank:
    def __init__(self, studies: Mapping[str, Mapping[str, Any]]) -> None:
        self.studies = studies

    def __call__(self, name: str) -> tuple[int, float, str]:
        outcome = self.studies[name].get("outcome")
        dice = self.studies[name].get("predicted_dice")
        if outcome is None:
            group = 1
        elif outcome in _WITHOUT_ORGAN:
            group = 2
        else:
            group = 3 if outcome in _UNUSABLE else 0
        return group, float(dice or 0), name
