"""bundle.quality.calibration and predict: from opinions to a predicted Dice."""

from __future__ import annotations

import numpy as np
import pytest

from bundle.errors import InputError
from bundle.quality.calibration import Calibration, fit, isotonic_knots
from bundle.quality.opinions import OPINIONS
from bundle.quality.predict import CALIBRATION, predict_dice

# The sum is (a - 0.5) / 0.1 * 0.05 + 0.6 = 0.6 + (a - 0.5) / 2.
MODEL = Calibration(("a",), (0.5,), (0.1,), (0.05,), 0.6, ((0.5, 0.4), (0.7, 0.8)))


@pytest.mark.parametrize(
    ("a", "dice"),
    [
        (0.3, 0.4),  # the first knot
        (0.5, 0.6),  # the middle between both
        (0.7, 0.8),  # the last knot
        (0.9, 0.9),  # sum 0.8, 0.1 beyond it
        (0.1, 0.3),  # sum 0.4, 0.1 before the first
        (9.0, 1.0),
        (-9.0, 0.0),
    ],
)
def test_dice_is_read_off_a_broken_line(a, dice):
    assert MODEL({"a": a}) == pytest.approx(dice)


@pytest.mark.parametrize("opinions", [{}, {"a": None}, {"b": 0.5}])
def test_nothing_is_predicted_from_missing_opinions(opinions):
    assert MODEL(opinions) is None


def test_a_calibration_survives_its_file(tmp_path):
    MODEL.write(tmp_path / "c.json")
    assert Calibration.read(tmp_path / "c.json") == MODEL


def test_a_file_that_is_no_calibration_is_refused(tmp_path):
    (tmp_path / "c.json").write_text("{}")
    with pytest.raises(InputError, match="c.json: a calibration is a JSON file"):
        Calibration.read(tmp_path / "c.json")


def test_violators_are_pooled():
    # Blocks of two: means of y 0.1, 0.5, 0.3, 0.9; the middle two are pooled to 0.4.
    x = np.arange(8.0)
    y = np.array([0.1, 0.1, 0.5, 0.5, 0.3, 0.3, 0.9, 0.9])
    knots = isotonic_knots(x, y, min_block=2)
    assert knots == [(0.5, pytest.approx(0.1)), (3.5, pytest.approx(0.4)), (6.5, pytest.approx(0.9))]


def test_a_last_block_that_is_too_small_joins_the_one_before():
    assert isotonic_knots(np.arange(5.0), np.array([0, 0, 1, 1, 4.0]), min_block=2) == [(0.5, 0), (3, 2)]


def test_knots_rise_whatever_the_data():
    rng = np.random.default_rng(0)
    knots = isotonic_knots(rng.random(60), rng.random(60))
    assert all(a[0] < b[0] and a[1] < b[1] for a, b in zip(knots, knots[1:]))


def test_a_fit_finds_the_line_behind_the_scans():
    rows = [{"a": x, "b": 0.0, "dice": 0.2 + 0.5 * x} for x in np.linspace(0, 1, 40)]
    model = fit(rows, ("a", "b"), ridge=0.01)
    assert model.scans == 40
    assert [model({"a": a, "b": 0.0}) for a in (0.2, 0.8)] == pytest.approx([0.3, 0.6], abs=0.01)


def test_scans_without_an_opinion_are_left_out_of_a_fit():
    rows = [{"a": x, "dice": x} for x in np.linspace(0, 1, 20)]
    assert fit([*rows, {"a": None, "dice": 0.0}], ("a",)).scans == 20


def test_a_handful_of_scans_is_too_few():
    with pytest.raises(InputError, match="at least ten are needed; received 3"):
        fit([{"a": 1.0, "dice": 1.0}] * 3, ("a",))


def test_the_shipped_calibration_needs_opinions_that_there_are():
    assert set(Calibration.read(CALIBRATION).features) <= set(OPINIONS)


def test_a_mask_that_all_agree_on_is_predicted_better_than_one_in_dispute():
    model = Calibration.read(CALIBRATION)
    typical = np.array(model.centre)
    better = typical + np.sign(model.weights) * model.scale
    low, high = (predict_dice(dict(zip(model.features, values.tolist()))) for values in (typical, better))
    assert low is not None and high is not None and low < high


def test_nothing_is_predicted_of_an_empty_mask():
    assert predict_dice(dict.fromkeys(OPINIONS) | {"volume_ml": 0.0}) is None
