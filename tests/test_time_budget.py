"""Training by the clock."""

from __future__ import annotations

import pytest
import torch
from ignite.engine import Engine, Events

import bundle.training.time_budget as module
from bundle.training import TimeBudget


class Clock:
    """A clock that is 6 s later at each look."""

    def __init__(self) -> None:
        self.now = 0.0

    def monotonic(self) -> float:
        self.now += 6.0
        return self.now

    def process_time(self) -> float:
        self.now += 12.0
        return self.now


class Validator:
    def __init__(self) -> None:
        self.epochs: list[int] = []

    def run(self, epoch: int) -> None:
        self.epochs.append(epoch)


@pytest.fixture
def optimizer(monkeypatch) -> torch.optim.Optimizer:
    monkeypatch.setattr(module, "time", Clock())
    return torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=0.1)


def train(budget: TimeBudget, optimizer: torch.optim.Optimizer) -> list[float]:
    """Learning rates after each iteration of at most three epochs of four."""
    rates: list[float] = []
    engine = Engine(lambda engine, batch: None)
    budget.attach(engine)
    engine.add_event_handler(Events.ITERATION_COMPLETED, lambda: rates.append(optimizer.param_groups[0]["lr"]))
    engine.run(range(4), max_epochs=3)
    return rates


def test_training_ends_with_the_budget(optimizer):
    # A minute is ten looks at the clock after the one at the start: it ends in the third epoch.
    assert len(train(TimeBudget(1.0, optimizer), optimizer)) == 10


def test_processor_time_is_another_clock(optimizer):
    assert len(train(TimeBudget(1.0, optimizer, clock="processor"), optimizer)) == 5


def test_learning_rate_falls_to_zero_with_the_budget(optimizer):
    rates = train(TimeBudget(1.0, optimizer, power=1.0), optimizer)
    assert rates == pytest.approx([0.09, 0.08, 0.07, 0.06, 0.05, 0.04, 0.03, 0.02, 0.01, 0.0])


def test_the_network_is_validated_when_the_budget_ends(optimizer):
    validator = Validator()
    train(TimeBudget(1.0, optimizer, validator), optimizer)
    assert validator.epochs == [3]


def test_without_a_budget_nothing_changes(optimizer):
    assert train(TimeBudget(None, optimizer), optimizer) == [0.1] * 12


def test_minutes_used_before_a_resume_count(optimizer):
    budget = TimeBudget(1.0, optimizer)
    budget.load_state_dict({"used_s": 30.0})
    assert len(train(budget, optimizer)) == 5
