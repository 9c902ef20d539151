"""Which labels are trained on, and which choose the best epoch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

ENOUGH_TO_HOLD_OUT = 5

Pair = TypeVar("Pair")


def training_and_validation(pairs: Sequence[Pair], share: float) -> tuple[list[Pair], list[Pair]]:
    """Return (training, validation): the last ``share`` of the labels is held out, at least one of them.

    With fewer than five labels, or a share of 0 or less, all are both: too few to give one away.
    """
    if share <= 0 or len(pairs) < ENOUGH_TO_HOLD_OUT:
        return list(pairs), list(pairs)
    held_out = min(max(1, round(share * len(pairs))), len(pairs) - 1)
    return list(pairs[:-held_out]), list(pairs[-held_out:])
