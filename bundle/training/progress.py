"""A progress bar over the whole training, with loss and remaining time."""

from __future__ import annotations

from typing import Any

from ignite.engine import Engine, Events
from tqdm import tqdm


class TrainingProgress:
    """Ignite handler: one tqdm bar over all iterations of all epochs; after a resume it starts where training does.

    Args:
        label: printed before the bar.
        disable: silent, for all but the first of several processes.
    """

    def __init__(self, label: str = "training", disable: bool = False) -> None:
        self.label = label
        self.disable = disable
        self.mean_loss: float | None = None

    def attach(self, engine: Engine) -> None:
        """Register on a MONAI trainer."""
        engine.add_event_handler(Events.STARTED, self._start)
        engine.add_event_handler(Events.ITERATION_COMPLETED, self._advance)
        engine.add_event_handler(Events.COMPLETED, self._close)
        engine.add_event_handler(Events.EXCEPTION_RAISED, self._fail)

    def _start(self, engine: Engine) -> None:
        total = (engine.state.max_epochs or 1) * (engine.state.epoch_length or 1)
        self.bar = tqdm(total=total, initial=engine.state.iteration, desc=self.label, unit="it", disable=self.disable)

    def _advance(self, engine: Engine) -> None:
        output: Any = engine.state.output
        loss = float((output[0] if isinstance(output, list) else output)["loss"])
        self.mean_loss = loss if self.mean_loss is None else 0.98 * self.mean_loss + 0.02 * loss
        self.bar.set_postfix(epoch=engine.state.epoch, loss=f"{self.mean_loss:.3f}", refresh=False)
        self.bar.update(1)

    def _close(self, engine: Engine) -> None:
        self.bar.close()

    def _fail(self, engine: Engine, error: BaseException) -> None:
        if hasattr(self, "bar"):
            self.bar.close()
        raise error
