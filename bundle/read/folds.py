"""Cross-validation folds."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

T = TypeVar("T")


def held_out(cases: Sequence[T], folds: int, fold: int) -> list[T]:
    """Return the cases that ``fold`` (0-based) of ``folds`` tests: consecutive ones, the last folds one longer.

    Zhou et al. 2017 (https://arxiv.org/abs/1612.08230), whose code Zhu 2018 follows: 82 cases in four folds are
    20, 20, 21 and 21.

    Raises:
        ValueError: no such fold, or fewer cases than folds.
    """
    if not 0 <= fold < folds <= len(cases):
        raise ValueError(f"fold must be 0 to {folds - 1} of at most {len(cases)} folds, got {fold} of {folds}")
    size, longer = divmod(len(cases), folds)
    start = size * fold + max(0, fold - (folds - longer))
    return list(cases[start : start + size + (fold >= folds - longer)])
