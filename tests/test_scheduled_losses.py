"""Dice of two classes, centres of slices and their scheduled sum (Zhao 2019): values worked out by hand."""

from __future__ import annotations

import pytest
import torch
from ignite.engine import Engine

from bundle.losses.centre import CentreLoss
from bundle.losses.scheduled import ScheduledSum
from bundle.losses.sudre_dice import SudreDiceLoss
from bundle.training.schedule import LossSchedule

HALF = torch.tensor([1, 1, 0, 0]).reshape(1, 1, 4, 1, 1)


def logits_of(probability: list[float]) -> torch.Tensor:
    """One channel of logits, voxels along X."""
    return torch.tensor(probability).reshape(1, 1, -1, 1, 1).logit(eps=1e-9)


# T-43; plain soft Dice of the fourth is 1 - 2 * 1.4 / 3.8, the sum of both classes always twice DL2.
@pytest.mark.parametrize(
    ("probability", "two_class", "foreground"),
    [
        ([1, 1, 0, 0], 0, 0),
        ([0, 0, 1, 1], 1, 1),
        ([0.5, 0.5, 0.5, 0.5], 0.5, 0.5),
        ([0.8, 0.6, 0.1, 0.3], 0.2506266, 0.2631579),
        ([0, 0, 0, 0], 0.6666667, 1),
    ],
)
def test_t43_dice_of_two_classes(probability, two_class, foreground):
    logits = logits_of([float(p) for p in probability])
    assert SudreDiceLoss()(logits, HALF).item() == pytest.approx(two_class, abs=2e-5)
    assert SudreDiceLoss("foreground")(logits, HALF).item() == pytest.approx(foreground, abs=2e-5)
    assert SudreDiceLoss("sum")(logits, HALF).item() == pytest.approx(2 * two_class, abs=4e-5)


def test_organ_that_is_absent_and_not_predicted_costs_nothing():
    nothing = torch.zeros(1, 1, 4, 1, 1)
    assert SudreDiceLoss()(logits_of([0.0] * 4), nothing).item() == pytest.approx(0, abs=1e-3)


# Plain Dice at 1/2: -2 y / 4 + 2 / 16 per voxel, that is -3/8 and 1/8, times p (1 - p) = 1/4. DL2 is the mean of that
# and the background's, whose signs and voxels are swapped: -1/4 and 1/4, times 1/4.
@pytest.mark.parametrize(
    ("variant", "gradient"),
    [("foreground", [-3 / 32, -3 / 32, 1 / 32, 1 / 32]), ("two_class", [-1 / 16, -1 / 16, 1 / 16, 1 / 16])],
)
def test_gradient_of_dice(variant, gradient):
    logits = torch.zeros(1, 1, 4, 1, 1, requires_grad=True)
    SudreDiceLoss(variant)(logits, HALF).backward()
    assert logits.grad is not None
    assert logits.grad.flatten().tolist() == pytest.approx(gradient, abs=1e-5)


def test_scans_of_a_batch_are_averaged():
    loss = SudreDiceLoss()
    first, second = logits_of([0.8, 0.6, 0.1, 0.3]), logits_of([0.0] * 4)
    both = loss(torch.cat([first, second]), torch.cat([HALF, HALF]))
    assert both.item() == pytest.approx((0.2506266 + 0.6666667) / 2, abs=2e-5)


def test_softmax_of_several_classes_and_other_organs_as_background():
    # Class 1 at 1/2; class 2 in the label is not the organ.
    logits = torch.tensor([0.25, 0.5, 0.25]).log().reshape(1, 3, 1, 1, 1).expand(1, 3, 4, 1, 1)
    label = torch.tensor([1, 1, 2, 0]).reshape(1, 1, 4, 1, 1)
    assert SudreDiceLoss()({"pred": logits, "other": logits}, label).item() == pytest.approx(0.5, abs=1e-5)


def test_unknown_variant_is_refused():
    with pytest.raises(ValueError, match="variant must be one of"):
        SudreDiceLoss("generalised")


def slices(*blocks: tuple[int, int, int]) -> torch.Tensor:
    """(1, 1, 12, 10, 4) with a block of 3 x 2 voxels at (x, y) of each slice z."""
    mask = torch.zeros(1, 1, 12, 10, 4)
    for x, y, z in blocks:
        mask[0, 0, x : x + 3, y : y + 2, z] = 1
    return mask


def sure(mask: torch.Tensor) -> torch.Tensor:
    return 100 * mask - 50


# T-48.
@pytest.mark.parametrize(
    ("prediction", "cost"),
    [
        (slices((2, 3, 1), (2, 3, 2)), 0),
        (slices((4, 3, 1), (2, 3, 2)), 2),
        (slices((4, 2, 1), (2, 3, 2)), 2 + 1),
        (slices((4, 2, 1), (1, 8, 2)), 2 + 1 + 1 + 5),
        (slices((2, 3, 1), (2, 3, 2), (9, 8, 0)), 0),  # a slice without truth
    ],
)
def test_t48_shift_of_a_predicted_slice_costs_its_length_along_both_axes(prediction, cost):
    loss = CentreLoss()(sure(prediction), slices((2, 3, 1), (2, 3, 2)))
    assert loss.item() == pytest.approx(cost, abs=1e-4)


def test_t48_centre_does_not_depend_on_how_sure_the_prediction_is():
    truth = slices((2, 3, 1))
    logits = torch.where(truth > 0, torch.tensor(0.2).logit(), torch.tensor(-50.0))
    assert CentreLoss()(logits, truth).item() == pytest.approx(0, abs=1e-4)


def test_t48_scan_without_the_organ_costs_nothing():
    assert CentreLoss()(sure(slices((2, 3, 1))), slices()).item() == 0


def test_slice_in_which_nothing_is_predicted_is_drawn_nowhere():
    logits = sure(slices()).requires_grad_()
    CentreLoss()(logits, slices((2, 3, 1))).backward()
    assert logits.grad is not None and logits.grad.abs().max() < 1e-6


def test_gradient_of_the_centre():
    # Truth at x = 0, both voxels at 1/2: the centre p1 / (p0 + p1) has the slopes -1/2 and 1/2, times p (1 - p) = 1/4.
    logits = torch.zeros(1, 1, 2, 1, 1, requires_grad=True)
    CentreLoss()(logits, torch.tensor([1, 0]).reshape(1, 1, 2, 1, 1)).backward()
    assert logits.grad is not None
    assert logits.grad.flatten().tolist() == pytest.approx([-1 / 8, 1 / 8], abs=1e-4)


def zhao() -> ScheduledSum:
    return ScheduledSum([SudreDiceLoss(), CentreLoss()], [1, 1e-3], [None, 50])


@pytest.mark.parametrize(("epoch", "gamma"), [(0, 1e-3), (49, 1e-3), (50, 0), (299, 0)])
def test_t48_weight_of_the_centre_ends_after_50_epochs(epoch, gamma):
    loss = zhao()
    loss.set_epoch(epoch)
    assert loss.weights == (1, gamma)
    prediction, truth = sure(slices((4, 2, 1))), slices((2, 3, 1))
    expected = SudreDiceLoss()(prediction, truth).item() + 3 * gamma
    assert loss(prediction, truth).item() == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize(
    ("weights", "until_epoch", "message"),
    [([1], None, "each term needs a weight"), ([1, 1], [5, 50], "one term must count always")],
)
def test_impossible_schedules_are_refused(weights, until_epoch, message):
    with pytest.raises(ValueError, match=message):
        ScheduledSum([SudreDiceLoss(), CentreLoss()], weights, until_epoch)


class Noting:
    def __init__(self) -> None:
        self.epochs: list[int] = []

    def set_epoch(self, epoch: int) -> None:
        self.epochs.append(epoch)


def nothing(engine: Engine, batch: int) -> None:
    """A training step."""


def test_loss_is_told_the_epoch_after_a_resume_too():
    loss, engine = Noting(), Engine(nothing)
    LossSchedule(loss).attach(engine)
    engine.run([0], max_epochs=2)
    assert loss.epochs == [0, 1]
    resumed = Engine(nothing)
    LossSchedule(loss).attach(resumed)
    resumed.load_state_dict({"epoch_length": 1, "max_epochs": 4, "iteration": 2})
    resumed.run([0])
    assert loss.epochs == [0, 1, 2, 3]


def test_loss_without_schedule_is_left_alone():
    engine = Engine(nothing)
    LossSchedule(SudreDiceLoss()).attach(engine)
    engine.run([0], max_epochs=1)
