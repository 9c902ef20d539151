"""Training for so many minutes instead of so many epochs, so that systems compare at equal cost."""

from __future__ import annotations

import time
from typing import Any

import torch
from ignite.engine import Engine, Events


class TimeBudget:
    """Ignite handler: end the training when its minutes are used up, the learning rate falling to 0 until then.

    The rate is that of the optimizer at the start times (1 - share of the budget used) ** ``power``. Where the budget
    ends in the middle of an epoch, the epoch ends there and the network is validated once more. Minutes used before a
    resume count (put the handler among the objects of :class:`~bundle.training.Resume`); loading counts, too.

    Args:
        minutes: None does nothing.
        optimizer: whose learning rate is set.
        validator: MONAI evaluator that is run at the end.
        power: 0.9 is the polynomial decay of Zhu 2018, sec. 4.1.
        clock: ``wall``, or ``processor``: the time of the process on all cores, whatever else the machine does. Batches
            must be loaded by the process itself for it to count them.
    """

    def __init__(
        self,
        minutes: float | None,
        optimizer: torch.optim.Optimizer,
        validator: Any = None,
        power: float = 0.9,
        clock: str = "wall",
    ) -> None:
        self.minutes = minutes
        self.optimizer = optimizer
        self.validator = validator
        self.power = power
        self.clock = {"wall": time.monotonic, "processor": time.process_time}[clock]
        self.used_s = 0.0

    def attach(self, engine: Engine) -> None:
        """Register on a MONAI trainer."""
        if self.minutes is None:
            return
        engine.add_event_handler(Events.STARTED, self._start)
        engine.add_event_handler(Events.ITERATION_COMPLETED, self._step)
        engine.add_event_handler(Events.EPOCH_COMPLETED, self._validate)

    def state_dict(self) -> dict[str, float]:
        """Return the seconds used."""
        return {"used_s": self.used_s}

    def load_state_dict(self, state: dict[str, float]) -> None:
        """Go on from what :meth:`state_dict` returned."""
        self.used_s = state["used_s"]

    @property
    def share(self) -> float:
        """Share of the budget that is used, at most 1; 0 without a budget."""
        return min(1.0, self.used_s / (60 * self.minutes)) if self.minutes else 0.0

    def _start(self, engine: Engine) -> None:
        for group in self.optimizer.param_groups:
            group.setdefault("initial_lr", group["lr"])
        self.last = self.clock()

    def _step(self, engine: Engine) -> None:
        now = self.clock()
        self.used_s += now - self.last
        self.last = now
        for group in self.optimizer.param_groups:
            group["lr"] = group["initial_lr"] * (1 - self.share) ** self.power
        if self.share >= 1:
            engine.state.max_epochs = engine.state.epoch
            engine.terminate_epoch()

    def _validate(self, engine: Engine) -> None:
        if self.share >= 1 and self.validator is not None:
            self.validator.run(engine.state.epoch)
