"""bundle.losses.marginal and target: values worked out by hand."""

from __future__ import annotations

import math

import pytest
import torch

from bundle.losses import MarginalDiceCELoss
from bundle.training import TargetMaskd


def logits_of(label: torch.Tensor, classes: int, sure: float) -> torch.Tensor:
    """Logits (B, N, X, Y, Z) that are ``sure`` for the class of ``label`` (B, 1, X, Y, Z) and 0 for the others."""
    return sure * torch.nn.functional.one_hot(label[:, 0].long(), classes).movedim(-1, 1).float()


HALF = torch.tensor([0, 0, 1, 1]).reshape(1, 1, 4, 1, 1)


def test_undecided_network():
    # Probability 1/2 everywhere: cross entropy ln 2; Dice of class 1 is 2 * 1 / (2 + 2); it counts twice as the target.
    loss = MarginalDiceCELoss(2)(torch.zeros(1, 2, 4, 1, 1), HALF)
    assert loss.item() == pytest.approx(math.log(2) + 0.5 + 0.5)


def test_perfect_network():
    assert MarginalDiceCELoss(2)(logits_of(HALF, 2, 100), HALF).item() == pytest.approx(0, abs=1e-5)


def test_inverted_network_loses_both_dice_terms():
    # A logit of 10 for the wrong class: cross entropy ln(1 + e^10), Dice 0.
    loss = MarginalDiceCELoss(2)(logits_of(1 - HALF, 2, 10), HALF)
    assert loss.item() == pytest.approx(math.log(1 + math.exp(10)) + 2, abs=1e-3)


def test_organs_are_averaged_and_the_target_counts_once_more():
    # Three classes at 1/3 each: class 1 has 1 of 4 voxels, class 2 has 2.
    label = torch.tensor([0, 1, 2, 2]).reshape(1, 1, 4, 1, 1)
    dice_1, dice_2 = (2 * 1 / 3) / (4 / 3 + 1), (2 * 2 / 3) / (4 / 3 + 2)
    expected = math.log(3) + (2 - dice_1 - dice_2) / 2 + (1 - dice_1)
    assert MarginalDiceCELoss(3)(torch.zeros(1, 3, 4, 1, 1), label).item() == pytest.approx(expected)


def test_absent_organ_adds_no_dice_loss():
    label = torch.tensor([0, 0, 2, 2]).reshape(1, 1, 4, 1, 1)
    dice_2 = (2 * 2 / 3) / (4 / 3 + 2)
    loss = MarginalDiceCELoss(3)(torch.zeros(1, 3, 4, 1, 1), label)
    assert loss.item() == pytest.approx(math.log(3) + 1 - dice_2)


def test_scan_without_organs_adds_cross_entropy_alone():
    loss = MarginalDiceCELoss(2)(torch.zeros(1, 2, 4, 1, 1), torch.zeros(1, 1, 4, 1, 1))
    assert loss.item() == pytest.approx(math.log(2))


def test_unannotated_class_counts_as_background():
    # Annotated 0 and 1 of three classes at 1/3 each: background 2/3.
    loss = MarginalDiceCELoss(3, annotated=[0, 1])(torch.zeros(1, 3, 4, 1, 1), HALF)
    dice = (2 * 2 / 3) / (4 / 3 + 2)
    assert loss.item() == pytest.approx((math.log(3) + math.log(1.5)) / 2 + 2 * (1 - dice))


def test_unannotated_class_is_neither_rewarded_nor_punished_on_background():
    # Moving probability between background and class 2 leaves the loss as it is.
    loss = MarginalDiceCELoss(3, annotated=[1])
    logits = torch.log(torch.tensor([0.6, 0.3, 0.1])).reshape(1, 3, 1, 1, 1).expand(1, 3, 4, 1, 1)
    moved = torch.log(torch.tensor([0.2, 0.3, 0.5])).reshape(1, 3, 1, 1, 1).expand(1, 3, 4, 1, 1)
    assert loss(logits, HALF).item() == pytest.approx(loss(moved, HALF).item())


def test_class_indices_may_have_gaps():
    # Annotated 0 and 2 of three, target 2: the same as two classes.
    logits = torch.rand(1, 3, 4, 1, 1, generator=torch.Generator().manual_seed(0))
    logits[:, 1] = -1000
    loss = MarginalDiceCELoss(3, annotated=[0, 2], target=2)(logits, 2 * HALF)
    assert loss.item() == pytest.approx(MarginalDiceCELoss(2)(logits[:, [0, 2]], HALF).item())


def test_batch_is_the_mean_of_its_samples():
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(4, 3, 5, 6, 7, generator=generator)
    label = torch.randint(0, 3, (4, 1, 5, 6, 7), generator=generator)
    loss = MarginalDiceCELoss(3)
    halves = (loss(logits[:2], label[:2]) + loss(logits[2:], label[2:])) / 2
    assert loss(logits, label).item() == pytest.approx(halves.item())


def test_half_precision_logits_give_a_float32_loss():
    assert MarginalDiceCELoss(2)(torch.zeros(1, 2, 4, 1, 1, dtype=torch.bfloat16), HALF).dtype == torch.float32


def test_gradient_lowers_the_loss():
    logits = torch.zeros(1, 2, 4, 1, 1, requires_grad=True)
    loss = MarginalDiceCELoss(2)
    before = loss(logits, HALF)
    before.backward()
    assert logits.grad is not None
    assert loss(logits - 0.1 * logits.grad, HALF) < before


@pytest.mark.parametrize(
    ("annotated", "target", "message"),
    [([0, 2], 1, "target class 1 must be annotated"), ([0, 1, 3], 1, "below num_classes = 3")],
)
def test_impossible_classes_are_refused(annotated, target, message):
    with pytest.raises(ValueError, match=message):
        MarginalDiceCELoss(3, annotated, target)


def test_target_mask_of_class_indices():
    label = torch.tensor([0, 1, 2, 1]).reshape(1, 4, 1, 1)
    assert TargetMaskd("label")({"label": label})["label"].flatten().tolist() == [0, 1, 0, 1]
