"""bundle.quality.curves: AUROC, its interval, risk and coverage, bins."""

from __future__ import annotations

import math

import numpy as np
import pytest

from bundle.quality.curves import auroc, auroc_interval, calibration_bins, risk_coverage


@pytest.mark.parametrize(
    ("score", "bad", "expected"),
    [
        ([0.1, 0.2, 0.8, 0.9], [True, True, False, False], 1.0),
        ([0.9, 0.8, 0.2, 0.1], [True, True, False, False], 0.0),
        ([0.1, 0.8, 0.2, 0.9], [True, True, False, False], 0.75),  # one of four pairs is the wrong way round
        ([0.5, 0.5, 0.5, 0.5], [True, True, False, False], 0.5),
    ],
)
def test_auroc_counts_pairs(score, bad, expected):
    assert auroc(score, bad) == expected


@pytest.mark.parametrize("bad", [[True, True], [False, False]])
def test_auroc_needs_both_kinds(bad):
    assert math.isnan(auroc([0.1, 0.2], bad))


def test_a_perfect_score_has_an_interval_of_one_point():
    assert auroc_interval([0.1, 0.2, 0.3, 0.8, 0.9], [True, True, True, False, False]) == (1.0, 1.0)


def test_interval_holds_the_estimate():
    rng = np.random.default_rng(1)
    dice = rng.random(60)
    score = dice + 0.3 * rng.standard_normal(60)
    low, high = auroc_interval(score, dice < 0.5)
    assert low < auroc(score, dice < 0.5) < high


def test_copies_of_a_patient_do_not_narrow_the_interval():
    rng = np.random.default_rng(2)
    dice = rng.random(30)
    score = dice + 0.3 * rng.standard_normal(30)
    patients = [f"p{i}" for i in range(30)]
    once = auroc_interval(score, dice < 0.5, patients)
    thrice = auroc_interval(np.tile(score, 3), np.tile(dice, 3) < 0.5, patients * 3)
    assert thrice == pytest.approx(once, abs=0.02)


def test_interval_of_results_that_are_all_good_is_undefined():
    assert all(math.isnan(value) for value in auroc_interval([0.1, 0.2], [False, False]))


def test_risk_is_that_of_the_best_first():
    coverage, risk = risk_coverage([0.9, 0.1, 0.8, 0.5], [0.9, 0.2, 0.6, 0.8])
    assert coverage.tolist() == [0.25, 0.5, 0.75, 1.0]
    assert risk == pytest.approx([0, 1 / 2, 1 / 3, 2 / 4])


def test_bins_hold_equal_numbers():
    bins = calibration_bins([0.1, 0.2, 0.8, 0.9], [0.0, 0.4, 0.7, 0.9], count=2)
    assert [value for line in bins for value in line] == pytest.approx([0.15, 0.2, 2, 0.85, 0.8, 2])
