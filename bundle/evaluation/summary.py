"""What an evaluation comes to: statistics by stage, and the cascade against the other stages."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
from scipy import stats

from bundle.cascade.report import WITHOUT_MASK
from bundle.evaluation.metrics import METRICS, VESSEL_METRICS
from bundle.evaluation.region import REGION_METRICS
from bundle.evaluation.tables import STAGES, Row, case_columns

BOOTSTRAP_SAMPLES = 10_000


def summarise(rows: Sequence[Row]) -> list[Row]:
    """Return one row per group of scans, stage and metric, with the columns :data:`SUMMARY_COLUMNS`.

    ``scans`` is "with_pancreas" or "without_pancreas" (empty truth). Scans without pancreas are kept apart, and only
    the volume found in them by mistake and the cost are summarised. ``not_found`` is 1 for a scan without a mask, so
    that its mean is their share. ``n`` counts the numbers that entered, ``undefined`` those that are NaN (the distances
    of an empty prediction). ``sd`` is the sample's (ddof = 1), NaN for fewer than two.
    """
    groups = {
        "with_pancreas": [row for row in rows if has_pancreas(row)],
        "without_pancreas": [row for row in rows if not has_pancreas(row)],
    }
    return [
        {"scans": scans, "stage": stage, "metric": metric, **describe(values)}
        for scans, members in groups.items()
        for stage in STAGES
        for metric, values in _values_by_metric([row for row in members if row["stage"] == stage], scans).items()
    ]


def describe(values: Sequence[float]) -> dict[str, float]:
    """Return n, undefined, mean, sd (ddof = 1), median, min and max of ``values``, NaN left out but counted."""
    numbers = np.asarray(values, dtype=float)
    defined = numbers[~np.isnan(numbers)]
    n = len(defined)
    return {
        "n": n,
        "undefined": len(numbers) - n,
        "mean": float(defined.mean()) if n else math.nan,
        "sd": float(defined.std(ddof=1)) if n > 1 else math.nan,
        "median": float(np.median(defined)) if n else math.nan,
        "min": float(defined.min()) if n else math.nan,
        "max": float(defined.max()) if n else math.nan,
    }


def spread(statistics: Mapping[str, float], digits: int = 3, with_range: bool = True) -> str:
    """Return what :func:`describe` gives as "mean ± sd [min, max]"; a dash without a number, no sd of one."""
    if not statistics["n"]:
        return "–"
    text = f"{statistics['mean']:.{digits}f}"
    if not math.isnan(statistics["sd"]):
        text += f" ± {statistics['sd']:.{digits}f}"
    return f"{text} [{statistics['min']:.{digits}f}, {statistics['max']:.{digits}f}]" if with_range else text


def compare_stages(rows: Sequence[Row], metric: str = "dice", seed: int = 0) -> list[Row]:
    """Return the paired comparison of "fine" with each other stage, with the columns :data:`COMPARISON_COLUMNS`.

    Only scans with pancreas that have both stages. Difference is fine minus the other.
    """
    by_stage = {
        stage: {row["case"]: row[metric] for row in rows if row["stage"] == stage and has_pancreas(row)}
        for stage in STAGES
    }
    fine = by_stage["fine"]
    comparison: list[Row] = []
    for stage in STAGES:
        cases = [case for case in by_stage[stage] if case in fine]
        if stage != "fine" and cases:
            differences = [fine[case] - by_stage[stage][case] for case in cases]
            comparison.append({"stage": "fine", "against": stage, **paired_tests(differences, seed)})
    return comparison


def paired_tests(differences: Sequence[float], seed: int = 0) -> dict[str, float]:
    """Return n, mean, its 95 % bootstrap interval (percentiles), and p of Wilcoxon signed-rank and paired t-test.

    All differences zero: both p are 1. Fewer than two: p and interval are NaN.
    """
    sample = np.asarray(differences, dtype=float)
    sample = sample[~np.isnan(sample)]
    n = len(sample)
    result = {"n": n, "mean_difference": float(sample.mean()) if n else math.nan}
    if n < 2:
        return {**result, **dict.fromkeys(("low_95", "high_95", "wilcoxon_p", "t_test_p"), math.nan)}
    low, high = bootstrap_interval(sample, seed)
    wilcoxon_p = float(stats.wilcoxon(sample).pvalue) if sample.any() else 1.0
    return {
        **result,
        "low_95": low,
        "high_95": high,
        "wilcoxon_p": wilcoxon_p,
        "t_test_p": _t_test_p(sample),
    }


def bootstrap_interval(values: Sequence[float], seed: int = 0) -> tuple[float, float]:
    """Return the 95 % bootstrap interval (percentiles) of the mean, NaN left out; NaN of fewer than two values."""
    sample = np.asarray(values, dtype=float)
    sample = sample[~np.isnan(sample)]
    n = len(sample)
    if n < 2:
        return math.nan, math.nan
    picks = np.random.default_rng(seed).integers(n, size=(BOOTSTRAP_SAMPLES, n))
    low, high = np.percentile(sample[picks].mean(axis=1), [2.5, 97.5])
    return float(low), float(high)


def dice_by_case(rows: Sequence[Row], stage: str = "fine") -> dict[str, float]:
    """Return a stage's Dice by case, scans without pancreas left out."""
    return {row["case"]: row["dice"] for row in rows if row["stage"] == stage and has_pancreas(row)}


def has_pancreas(row: Row) -> bool:
    """Return whether the truth of the row's scan holds any pancreas."""
    return row["label_volume_ml"] > 0


def _values_by_metric(rows: Sequence[Row], scans: str) -> dict[str, list[float]]:
    """Values of the columns worth summarising, by column; columns that no row has are left out."""
    agreement = [*METRICS, *VESSEL_METRICS, *REGION_METRICS] if scans == "with_pancreas" else ["pred_volume_ml"]
    cost = [name for name in case_columns(rows) if name.startswith("seconds_")] + ["peak_memory_mb"]
    values = {name: [row[name] for row in rows if name in row] for name in [*agreement, *cost]}
    not_found = [float(row["outcome"] in WITHOUT_MASK) for row in rows]
    return {name: found for name, found in {"not_found": not_found, **values}.items() if found}


def _t_test_p(differences: np.ndarray) -> float:
    # A constant difference has no spread, for which SciPy warns of lost precision before it divides by zero.
    if np.ptp(differences) == 0:
        return 0.0 if differences[0] else 1.0
    return float(stats.ttest_1samp(differences, 0.0).pvalue)
