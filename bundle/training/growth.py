"""A network that is trained in phases goes to the next one when its loss stops falling."""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping
from typing import Any

import ignite.distributed as idist
from ignite.engine import Engine, Events

from bundle.training.time_budget import TimeBudget

_LOGGER = logging.getLogger(__name__)


class Growth:
    """Ignite handler: set the phase of the network, and the next one after epochs without improvement.

    Cai et al. 2018, sec. III-A, "k is increased by 1 when the L_k-plot converges". What converged means is ours: no
    epoch of the last ``patience`` had a mean loss at least ``min_improvement`` below the best of the phase.

    The last phase lasts until the training ends. To continue an interrupted training, give this handler, and the
    network, to :class:`~bundle.training.Resume`.

    Args:
        network: has ``phase_names`` and ``set_phase(index)``, such as
            :class:`~bundle.networks.slice_sequence.SliceSequence`.
        min_improvement: share of the best loss.
        patience: epochs.
        max_epochs: of each phase; None has no limit. With it a training of known length reaches the last phase.
        min_epochs: of each phase, before a lack of improvement counts: a Jaccard loss near 1 falls so slowly at first
            that it looks converged.
        budget: :class:`~bundle.training.TimeBudget`, of which each phase may use an equal share.
    """

    def __init__(
        self,
        network: Any,
        min_improvement: float = 0.01,
        patience: int = 3,
        max_epochs: int | None = None,
        min_epochs: int = 0,
        budget: TimeBudget | None = None,
    ) -> None:
        self.network = getattr(network, "module", network)  # of DistributedDataParallel
        self.min_improvement = min_improvement
        self.patience = patience
        self.max_epochs = max_epochs
        self.min_epochs = min_epochs
        self.budget = budget
        self.phase = 0
        self._begin_phase()

    def attach(self, engine: Engine) -> None:
        """Register on a MONAI trainer."""
        engine.add_event_handler(Events.STARTED, self._start)
        engine.add_event_handler(Events.EPOCH_STARTED, self._start_epoch)
        engine.add_event_handler(Events.ITERATION_COMPLETED, self._add_loss)
        engine.add_event_handler(Events.EPOCH_COMPLETED, self._end_epoch)

    def state_dict(self) -> dict[str, Any]:
        """Return the phase and what is known of its losses."""
        return {"phase": self.phase, "best": self.best, "epochs": self.epochs, "stalled": self.stalled}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from :meth:`state_dict`."""
        self.phase, self.best = state["phase"], state["best"]
        self.epochs, self.stalled = state["epochs"], state["stalled"]
        self.network.set_phase(self.phase)

    def _start(self, engine: Engine) -> None:
        self.network.set_phase(self.phase)

    def _start_epoch(self, engine: Engine) -> None:
        self.losses: list[float] = []

    def _add_loss(self, engine: Engine) -> None:
        output: Any = engine.state.output
        self.losses.append(float((output[0] if isinstance(output, list) else output)["loss"]))

    def _end_epoch(self, engine: Engine) -> None:
        self._follow(_mean_over_processes(self.losses))
        converged = self.stalled >= self.patience and self.epochs >= self.min_epochs
        # After the last epoch, the network would be left in a phase that it was never trained in.
        more = self.phase + 1 < len(self.network.phase_names) and engine.state.epoch < (engine.state.max_epochs or 0)
        if more and (converged or self._share_is_used()):
            self._next_phase()

    def _share_is_used(self) -> bool:
        if self.max_epochs is not None and self.epochs >= self.max_epochs:
            return True
        return self.budget is not None and self.budget.share >= (self.phase + 1) / len(self.network.phase_names)

    def _follow(self, loss: float) -> None:
        self.epochs += 1
        if loss <= (1 - self.min_improvement) * self.best:
            self.best, self.stalled = loss, 0
        else:
            self.stalled += 1

    def _next_phase(self) -> None:
        self.phase += 1
        self.network.set_phase(self.phase)
        # MONAI's trainer zeroes gradients instead of dropping them: momentum and decay would move what is frozen now.
        self.network.zero_grad(set_to_none=True)
        name = self.network.phase_names[self.phase]
        _LOGGER.info("after %d epochs of loss down to %.4g, phase %s begins", self.epochs, self.best, name)
        self._begin_phase()

    def _begin_phase(self) -> None:
        # Losses of two phases have different terms and can't be compared.
        self.best, self.epochs, self.stalled = math.inf, 0, 0


def _mean_over_processes(losses: list[float]) -> float:
    """The mean loss of the epoch, the same in all processes: they must not part ways."""
    mean = sum(losses) / len(losses)
    total = idist.all_reduce(mean)
    return float(total) / idist.get_world_size()
