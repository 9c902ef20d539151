"""How good a score is: AUROC with its interval, risk-coverage curve, calibration by bins."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from scipy import stats

BAD_DICE = 0.7
BOOTSTRAP_SAMPLES = 4000


def auroc(score: Sequence[float] | np.ndarray, bad: Sequence[bool] | np.ndarray) -> float:
    """Return the chance that a bad result has a lower score than a good one, ties counting half; NaN without both."""
    values, is_bad = np.asarray(score, dtype=float), np.asarray(bad, dtype=bool)
    n_bad, n_good = int(is_bad.sum()), int((~is_bad).sum())
    if not n_bad or not n_good:
        return math.nan
    ranks = stats.rankdata(values)
    return float((ranks[~is_bad].sum() - n_good * (n_good + 1) / 2) / (n_bad * n_good))


def auroc_interval(
    score: Sequence[float] | np.ndarray,
    bad: Sequence[bool] | np.ndarray,
    groups: Sequence[str] | None = None,
    seed: int = 0,
) -> tuple[float, float]:
    """Return the 95 % percentile interval of :func:`auroc` by bootstrap.

    Args:
        score: of each result.
        bad: which of them are.
        groups: what belongs together, such as results of one patient, drawn as a whole; by default each by itself.
        seed: of the draws. Those without a bad or a good result are left out.
    """
    values, is_bad = np.asarray(score, dtype=float), np.asarray(bad, dtype=bool)
    names = np.arange(len(values)) if groups is None else np.unique(np.asarray(groups), return_inverse=True)[1]
    members = [np.flatnonzero(names == name) for name in range(int(names.max()) + 1)] if len(values) else []
    rng = np.random.default_rng(seed)
    drawn = []
    for _ in range(BOOTSTRAP_SAMPLES if members else 0):
        index = np.concatenate([members[i] for i in rng.integers(len(members), size=len(members))])
        drawn.append(auroc(values[index], is_bad[index]))
    numbers = np.array([value for value in drawn if not math.isnan(value)])
    if not len(numbers):
        return math.nan, math.nan
    low, high = np.percentile(numbers, [2.5, 97.5])
    return float(low), float(high)


def risk_coverage(
    score: Sequence[float] | np.ndarray, dice: Sequence[float] | np.ndarray, bad_dice: float = BAD_DICE
) -> tuple[np.ndarray, np.ndarray]:
    """Return coverage and risk: of the k results with the highest score, the share of Dice below ``bad_dice``.

    El-Yaniv and Wiener 2010 (JMLR 11:1605); k goes from 1 to all.
    """
    order = np.argsort(-np.asarray(score, dtype=float), kind="stable")
    bad = np.asarray(dice, dtype=float)[order] < bad_dice
    k = np.arange(1, len(bad) + 1)
    return k / max(1, len(bad)), np.cumsum(bad) / k


def calibration_bins(
    predicted: Sequence[float] | np.ndarray, dice: Sequence[float] | np.ndarray, count: int = 6
) -> list[tuple[float, float, int]]:
    """Return mean prediction, mean Dice and number of ``count`` groups of equal size, by rising prediction."""
    order = np.argsort(np.asarray(predicted, dtype=float), kind="stable")
    groups = [group for group in np.array_split(order, count) if len(group)]
    predictions, truth = np.asarray(predicted, dtype=float), np.asarray(dice, dtype=float)
    return [(float(predictions[g].mean()), float(truth[g].mean()), len(g)) for g in groups]
