"""Cai 2018: networks, losses and growth. Numbers T-xx are those of the analytic facts worked out beforehand."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from ignite.engine import Engine
from monai.engines import SupervisedTrainer
from torch import nn

from bundle.evaluation.plateau import THRESHOLDS, dice_by_threshold, plot_plateau
from bundle.losses.balanced import BalancedCrossEntropyLoss
from bundle.losses.heads import HeadsLoss
from bundle.losses.jaccard import JaccardLoss, soft_jaccard_loss
from bundle.networks.conv_lstm import BiConvLSTM, ConvLSTM
from bundle.networks.mixture import ProbabilityMixture
from bundle.networks.pnet_msa import PNetMSA, load_fewer_units
from bundle.networks.slice_sequence import SliceSequence
from bundle.preprocess.percentile import PercentileWindow
from bundle.read.folds import held_out
from bundle.training.growth import Growth
from bundle.training.resume import Resume
from bundle.training.time_budget import TimeBudget

TINY = {"units": 2, "channels": 2}
HEADS = {"pred": 1.0, "cnn": 1.0, "unit1": 1.0, "unit2": 1.0}


def parameters(network: nn.Module) -> int:
    return sum(values.numel() for values in network.parameters())


def randomised(network: nn.Module) -> nn.Module:
    """All parameters drawn anew, so that no term is zero by initialisation."""
    for values in network.parameters():
        nn.init.normal_(values, std=0.5)
    return network.eval()


# Networks


@pytest.mark.parametrize(("units", "expected"), [(1, 113154), (2, 351940), (3, 681222), (4, 1101000), (5, 1611274)])
def test_t07_parameters_by_units(units, expected):
    assert parameters(PNetMSA(units)) == expected


@pytest.mark.parametrize(("unit", "field"), [(1, 9), (2, 26), (3, 60), (4, 128), (5, 264)])
def test_t06_receptive_fields_of_the_forward_branches(unit, field):
    # A column of NaN reaches the pixels that see it. One channel, in eval mode; rows don't matter.
    network = PNetMSA(units=unit, channels=1).eval()
    stride, middle = 2 ** (unit - 1), 144
    first = middle - 4 * (2 * stride - 1)  # four convolutions at each stride up to this one look four pixels back
    images = torch.zeros(4, 3, 304, 16)
    for image, column in zip(images, (first - 1, first, first + field - 1, first + field)):
        image[:, column] = math.nan
    with torch.no_grad():
        seen = network.features(images)[-1][:, 0, middle // stride].isnan().any(dim=-1)
    assert seen.tolist() == [False, True, True, False]


def test_mixture_gives_the_logit_of_the_average_probability():
    mixture = ProbabilityMixture(2)
    nn.init.constant_(mixture.scores[0], math.log(3))  # weights 3/4 and 1/4
    result = mixture([torch.tensor([0.4]).logit(), torch.tensor([0.8]).logit()])
    torch.testing.assert_close(result.sigmoid(), torch.tensor([0.5]))


def test_mixture_stays_finite_where_probabilities_do_not_differ_from_one():
    result = ProbabilityMixture(2)([torch.tensor([200.0, -200.0]), torch.tensor([150.0, -150.0])])
    # (e^-200 + e^-150) / 2 is left of the background.
    torch.testing.assert_close(result, torch.tensor([1, -1]) * (150 + math.log(2)))


def test_pnet_predicts_any_size_and_gives_its_units_in_training_only():
    network = PNetMSA(**TINY)
    x = torch.rand(2, 3, 17, 21)
    heads = network.train()(x)
    assert {name: tuple(values.shape) for name, values in heads.items()} == {
        name: (2, 1, 17, 21) for name in ("pred", "unit1", "unit2")
    }
    assert network.eval()(x).shape == (2, 1, 17, 21)


def test_pnet_of_fewer_units_predicts_the_newest_units_map():
    network = PNetMSA(**TINY).eval()
    x = torch.rand(1, 3, 8, 8)
    units = network.unit_logits(x)
    network.set_phase(0)
    assert network.heads(x).keys() == {"pred"}
    torch.testing.assert_close(network(x), units[0])
    network.set_phase(1)
    assert network.heads(x).keys() == {"pred", "unit1"}
    torch.testing.assert_close(network(x), units[1])
    network.set_phase(2)
    torch.testing.assert_close(network(x).sigmoid(), (units[0].sigmoid() + units[1].sigmoid()) / 2)


def test_the_phase_travels_with_the_weights():
    grown = PNetMSA(**TINY)
    grown.set_phase(1)
    network = PNetMSA(**TINY)
    network.load_state_dict(grown.state_dict())
    assert int(network.phase) == 1


def test_weights_of_fewer_units_fill_the_first_units():
    small, large = PNetMSA(1, 2), PNetMSA(**TINY)
    new = load_fewer_units(large, small.state_dict())
    x = torch.rand(1, 3, 8, 8)
    large.set_phase(0)
    torch.testing.assert_close(large.eval()(x), small.eval()(x))
    assert {name.split(".", 2)[0] + "." + name.split(".")[1] for name in new} == {
        "forward_branches.1",
        "backward_branches.1",
        "fusion.scores",
    }
    assert "fusion.scores.0" not in new


def test_weights_of_more_units_do_not_fit():
    with pytest.raises(ValueError, match="of fewer units"):
        load_fewer_units(PNetMSA(1, 2), PNetMSA(**TINY).state_dict())


@pytest.mark.parametrize(("peephole", "size", "cell"), [("none", None, 0), ("scalar", None, 3), ("map", (4, 5), 60)])
def test_t08_weights_of_one_direction(peephole, size, cell):
    lstm = ConvLSTM(peephole, size)
    assert lstm.of_map.weight.numel() + lstm.of_hidden.weight.numel() == 72
    assert lstm.of_map.bias.numel() == 4
    assert parameters(lstm) == 72 + 4 + cell


def test_lstm_follows_equations_5_to_9():
    # One pixel: only the middle of each kernel counts. Gates in the order input, forget, candidate, output.
    lstm = ConvLSTM()
    of_map, of_hidden, bias = [0.5, -0.3, 0.8, 1.2], [0.2, 0.4, -0.6, 0.7], [0.1, 1.0, 0.0, -0.4]
    of_cell = [0.3, -0.2, 0.9]
    with torch.no_grad():
        lstm.of_map.weight[:, 0, 1, 1] = torch.tensor(of_map)
        lstm.of_hidden.weight[:, 0, 1, 1] = torch.tensor(of_hidden)
        lstm.of_map.bias[:] = torch.tensor(bias)
        lstm.of_cell[:, 0, 0] = torch.tensor(of_cell)
    hidden = cell = 0.0
    expected = []
    for y in (0.9, 0.2):
        enter, forget, candidate, output = (a * y + b * hidden + c for a, b, c in zip(of_map, of_hidden, bias))
        i = 1 / (1 + math.exp(-(enter + of_cell[0] * cell)))
        f = 1 / (1 + math.exp(-(forget + of_cell[1] * cell)))
        cell = f * cell + i * math.tanh(candidate)
        logit = output + of_cell[2] * cell
        hidden = math.tanh(cell) / (1 + math.exp(-logit))
        expected.append(logit)
    maps = [torch.full((1, 1, 1, 1), y) for y in (0.9, 0.2)]
    assert [values.item() for values in lstm(maps)] == pytest.approx(expected, abs=1e-5)


def test_the_recurrence_starts_from_what_the_slices_say():
    logits = torch.tensor([-20.0, 0.0, 20.0]).reshape(1, 1, 3, 1, 1).expand(1, 1, 3, 4, 5)
    result = BiConvLSTM()(logits).sigmoid()
    expected = torch.tensor([-4.0, 0.0, 4.0]).sigmoid().reshape(1, 1, 3, 1, 1).expand(1, 1, 3, 4, 5)
    torch.testing.assert_close(result, expected)


def test_t72_upwards_depends_on_slices_up_to_its_own_only():
    torch.manual_seed(0)
    lstm = randomised(ConvLSTM())
    maps = list(torch.rand(5, 1, 1, 4, 4))
    changed = [*maps[:3], maps[3] + 0.5, maps[4]]
    before, after = list(lstm(maps)), list(lstm(changed))
    assert [torch.equal(a, b) for a, b in zip(before, after)] == [True, True, True, False, False]


def test_t72_reversing_the_volume_swaps_the_directions():
    torch.manual_seed(0)
    network = randomised(BiConvLSTM())
    swapped = BiConvLSTM()
    weights = network.state_dict()
    other = {"upwards": "downwards", "downwards": "upwards"}
    moved = {f"{other[n.split('.')[0]]}.{n.split('.', 1)[1]}": v for n, v in weights.items() if "wards" in n}
    moved |= {"fusion.scores.0": weights["fusion.scores.1"], "fusion.scores.1": weights["fusion.scores.0"]}
    swapped.load_state_dict(moved)
    logits = torch.randn(1, 1, 4, 4, 6)
    torch.testing.assert_close(swapped(logits.flip(-1)).flip(-1), network(logits))


def test_peephole_maps_refuse_slices_of_another_size():
    with pytest.raises(ValueError, match="map_size"):
        BiConvLSTM("map", (4, 4))(torch.zeros(1, 1, 4, 5, 2))


def test_the_sequence_gives_each_slice_its_neighbours_and_repeats_the_ends():
    network = randomised(SliceSequence(TINY, recurrent=False))
    x = torch.rand(1, 1, 8, 6, 3)
    a, b, c = x[:, 0].unbind(dim=-1)
    slices = [network.cnn(torch.stack(three, dim=1)) for three in ((a, a, b), (a, b, c), (b, c, c))]
    torch.testing.assert_close(network(x), torch.stack(slices, dim=-1))


def test_the_result_does_not_depend_on_the_chunk():
    torch.manual_seed(0)
    network = randomised(SliceSequence(TINY, chunk=2))
    x = torch.rand(2, 1, 8, 8, 5)
    in_chunks = network(x)
    network.chunk = 9
    torch.testing.assert_close(network(x), in_chunks)


def test_heads_by_phase_of_training():
    network = SliceSequence(TINY).train()
    x = torch.rand(1, 1, 8, 8, 4)
    heads = {}
    for phase, name in enumerate(network.phase_names):
        network.set_phase(phase)
        heads[name] = sorted(network(x))
    assert heads == {
        "unit1": ["pred"],
        "unit2": ["pred", "unit1"],
        "fused": ["pred", "unit1", "unit2"],
        "recurrent": ["pred"],
        "end_to_end": ["cnn", "pred", "unit1", "unit2"],
    }


def test_the_recurrent_phase_trains_the_recurrence_alone():
    network = SliceSequence(TINY).train()
    network.set_phase(network.phase_names.index("recurrent"))
    norms = {name: values.clone() for name, values in network.state_dict().items() if "running" in name}
    JaccardLoss()(network(torch.rand(1, 1, 8, 8, 4)), torch.ones(1, 1, 8, 8, 4)).backward()
    assert {name.split(".")[0] for name, p in network.named_parameters() if p.grad is not None} == {"recurrence"}
    assert all(torch.equal(network.state_dict()[name], values) for name, values in norms.items())


@pytest.mark.parametrize(("slices", "changes"), [(3, False), (4, True)])
def test_batch_norm_keeps_its_statistics_in_short_runs_end_to_end(slices, changes):
    network = SliceSequence(TINY, freeze_norm=4).train()
    before = network.cnn.forward_branches[0][0][1].running_mean.clone()
    network(torch.rand(1, 1, 8, 8, slices))
    after = network.cnn.forward_branches[0][0][1].running_mean
    assert torch.equal(before, after) != changes


def test_evaluation_gives_one_map_and_is_the_same_twice():
    network = SliceSequence(TINY).eval()
    x = torch.rand(1, 1, 8, 8, 3)
    torch.testing.assert_close(network(x), network(x))
    assert network(x).shape == (1, 1, 8, 8, 3)


def test_a_sequence_of_two_channels_is_refused():
    with pytest.raises(ValueError, match="sequence of slices"):
        SliceSequence(TINY)(torch.rand(1, 2, 8, 8, 3))


# Losses

LABEL = torch.tensor([1.0, 1.0, 0.0, 0.0])
PROBABILITY = torch.tensor([0.8, 0.6, 0.1, 0.3])


def jaccard_and_gradient(probability, label):
    probability = torch.as_tensor(probability).clone().requires_grad_()
    loss = soft_jaccard_loss(probability, label, dim=(0,))
    loss.backward()
    return loss.item(), probability.grad.tolist()


def test_t40_jaccard_loss_and_gradient():
    loss, gradient = jaccard_and_gradient(PROBABILITY, LABEL)
    assert loss == pytest.approx(0.4166667)
    assert gradient == pytest.approx([-0.4166667, -0.4166667, 0.2430556, 0.2430556], abs=1e-6)


def test_t41_without_foreground_jaccard_is_one_and_has_no_gradient():
    loss, gradient = jaccard_and_gradient(PROBABILITY, torch.zeros(4))
    assert (loss, gradient) == (1.0, [0.0] * 4)


def test_t41_nothing_found_where_nothing_is_has_a_finite_gradient():
    assert jaccard_and_gradient(torch.zeros(4), torch.zeros(4)) == (1.0, [0.0] * 4)


def test_t42_jaccard_of_a_perfect_and_of_an_empty_answer():
    assert jaccard_and_gradient(LABEL, LABEL)[0] == 0
    loss, gradient = jaccard_and_gradient(torch.zeros(4), LABEL)
    assert loss == 1
    assert gradient == pytest.approx([-0.5, -0.5, 0, 0])


def as_volume(values):
    """Four values as (1, 1, 2, 1, 2), the first two of them in the first slice."""
    return values.reshape(2, 2).T.reshape(1, 1, 2, 1, 2)


@pytest.mark.parametrize(("reduction", "expected"), [("batch", 1 - 1.4 / 2.4), ("slice", (0.3 + 1) / 2)])
def test_jaccard_by_batch_and_by_slice(reduction, expected):
    # Slice one holds all foreground, 1 - 1.4 / 2; slice two none, 1.
    loss = JaccardLoss(reduction)(as_volume(PROBABILITY.logit()), as_volume(LABEL))
    assert loss.item() == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("loss", [JaccardLoss(), BalancedCrossEntropyLoss()])
def test_two_channels_cost_what_one_with_their_difference_costs(loss):
    one = as_volume(PROBABILITY.logit())
    two = torch.cat([torch.full_like(one, 0.7), one + 0.7], dim=1)
    assert loss(two, as_volume(LABEL)).item() == pytest.approx(loss(one, as_volume(LABEL)).item(), abs=1e-6)


@pytest.mark.parametrize(
    ("reduction", "expected"),
    [
        # Half of the batch is foreground: half of the mean cross entropy. By slice: β = 0 and 1, no cost at all.
        ("batch", -(math.log(0.8) + math.log(0.6) + math.log(0.9) + math.log(0.7)) / 8),
        ("slice", 0.0),
    ],
)
def test_balanced_cross_entropy(reduction, expected):
    loss = BalancedCrossEntropyLoss(reduction)(as_volume(PROBABILITY.logit()), as_volume(LABEL))
    assert loss.item() == pytest.approx(expected, abs=1e-6)


def test_balanced_cross_entropy_pulls_as_hard_at_one_pixel_as_at_three_others():
    logits = torch.zeros(1, 1, 2, 1, 2, requires_grad=True)
    BalancedCrossEntropyLoss()(logits, as_volume(torch.tensor([1.0, 0.0, 0.0, 0.0]))).backward()
    # β = 3/4, a quarter of the mean each, half of a step from even odds.
    expected = as_volume(torch.tensor([-3 / 32, 1 / 32, 1 / 32, 1 / 32]))
    torch.testing.assert_close(logits.grad, expected)


def test_heads_add_up_to_the_objective_of_equation_4():
    logits = as_volume(PROBABILITY.logit())
    loss = HeadsLoss(JaccardLoss(), HEADS)
    heads = {"pred": logits, "unit1": logits, "unit2": logits}
    assert loss(heads, as_volume(LABEL)).item() == pytest.approx(3 * (1 - 1.4 / 2.4), abs=1e-6)


# Growth


def report(growth, losses):
    """Run an engine that has one loss per epoch, and one more epoch, after which no phase begins."""
    remaining = iter([*losses, 1.0])

    def step(engine, batch):
        return {"loss": next(remaining)}

    engine = Engine(step)
    growth.attach(engine)
    engine.run([0], max_epochs=len(losses) + 1)


def phase_after(losses, **settings):
    network = PNetMSA(**TINY)
    report(Growth(network, **settings), losses)
    return network.phase_names[int(network.phase)]


@pytest.mark.parametrize(
    ("losses", "expected"),
    [
        ([1.0, 0.98, 0.96, 0.94, 0.92], "unit1"),
        ([1.0, 0.995, 0.992, 0.991], "unit2"),
        ([1.0, 0.995, 0.992, 0.990], "unit1"),
        ([1.0, 1.0, 1.0], "unit1"),
        ([1.0] * 4 + [9.0] * 4, "fused"),
        ([1.0] * 20, "fused"),
    ],
)
def test_three_epochs_without_one_percent_begin_the_next_phase(losses, expected):
    assert phase_after(losses) == expected


def test_no_phase_begins_as_the_training_ends():
    network = PNetMSA(**TINY)
    report(Growth(network, max_epochs=1), [])
    assert int(network.phase) == 0


def test_a_phase_ends_after_its_most_epochs():
    assert phase_after([1.0, 0.5, 0.25, 0.125], max_epochs=2) == "fused"


def test_each_phase_may_use_its_share_of_the_budget():
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=0.01)
    budget = TimeBudget(minutes=1, optimizer=optimizer)
    used = {0.32: "unit1", 0.34: "unit2"}  # the first of three phases ends at a third
    for share, expected in used.items():
        budget.used_s = 60 * share
        assert phase_after([1.0], budget=budget) == expected


def test_nothing_has_converged_before_the_least_epochs():
    assert phase_after([1.0] * 5, min_epochs=6) == "unit1"
    assert phase_after([1.0] * 6, min_epochs=6) == "unit2"


def trainer(path, max_epochs):
    torch.manual_seed(0)
    network = SliceSequence(TINY)
    optimizer = torch.optim.SGD(network.parameters(), lr=0.05, momentum=0.9)
    growth = Growth(network, max_epochs=2)
    image = torch.rand(1, 1, 8, 8, 4)
    batch = {"image": image, "label": (image > 0.5).float()}
    objects = {"network": network, "optimizer": optimizer, "growth": growth}
    return SupervisedTrainer(
        device=torch.device("cpu"),
        max_epochs=max_epochs,
        train_data_loader=[batch, batch],
        network=network,
        optimizer=optimizer,
        loss_function=HeadsLoss(JaccardLoss(), HEADS),
        train_handlers=[Resume(str(path), objects), growth],
    )


def test_a_monai_trainer_grows_to_the_end_and_resumes_in_the_phase_it_was_in(tmp_path):
    whole = trainer(tmp_path / "whole.pt", 10)
    whole.run()
    assert whole.network.phase_names[int(whole.network.phase)] == "end_to_end"
    trainer(tmp_path / "parts.pt", 5).run()
    parts = trainer(tmp_path / "parts.pt", 10)
    parts.run()
    for name, values in whole.network.state_dict().items():
        torch.testing.assert_close(parts.network.state_dict()[name], values, msg=name)


def test_what_a_phase_does_not_train_stays_as_it_is(tmp_path):
    engine = trainer(tmp_path / "state.pt", 7)
    engine.run()
    frozen = {name: values.clone() for name, values in engine.network.cnn.state_dict().items() if name != "phase"}
    assert engine.network.phase_names[int(engine.network.phase)] == "recurrent"
    engine = trainer(tmp_path / "state.pt", 8)
    engine.run()
    for name, values in frozen.items():
        assert torch.equal(engine.network.cnn.state_dict()[name], values), name


# Thresholds, intensities, folds


def test_dice_by_threshold_counts_what_reaches_the_threshold():
    dice = dice_by_threshold(np.array([0.05, 0.5, 0.72], dtype=np.float32), np.array([False, True, True]))
    expected = {0.05: 4 / 5, 0.10: 1.0, 0.50: 1.0, 0.55: 2 / 3, 0.70: 2 / 3, 0.75: 0.0, 0.95: 0.0}
    for threshold, value in expected.items():
        assert dice[THRESHOLDS.index(threshold)] == pytest.approx(value)


def test_dice_by_threshold_of_two_empty_masks_is_one():
    assert dice_by_threshold(np.zeros(3), np.zeros(3, dtype=bool)).tolist() == [1.0] * 19


def test_the_plateau_is_plotted(tmp_path):
    plot_plateau({"jaccard": np.full((2, 19), 0.8)}, tmp_path / "plateau.png")
    assert (tmp_path / "plateau.png").stat().st_size > 1000


def test_percentiles_become_zero_and_one_and_what_is_beyond_is_clipped():
    image = torch.arange(101.0).reshape(1, 101, 1, 1) * 7 - 50
    result = PercentileWindow(10, 60)(image).flatten()
    torch.testing.assert_close(result, ((torch.arange(101.0) - 10) / 50).clamp(0, 1))


def test_a_part_is_scaled_by_the_percentiles_of_the_whole():
    scan = torch.arange(101.0).reshape(1, 101, 1, 1)
    part = scan[:, 40:50]
    torch.testing.assert_close(PercentileWindow(0, 100).fitted(scan)(part), part / 100)


def test_a_constant_image_becomes_zero():
    assert not PercentileWindow()(torch.full((1, 2, 2, 2), 3.0)).any()


@pytest.mark.parametrize(("cases", "sizes"), [(82, [20, 20, 21, 21]), (59, [14, 15, 15, 15]), (80, [20] * 4)])
def test_t68_folds_test_every_case_once(cases, sizes):
    folds = [held_out(range(cases), 4, fold) for fold in range(4)]
    assert [len(fold) for fold in folds] == sizes
    assert sum(folds, []) == list(range(cases))
