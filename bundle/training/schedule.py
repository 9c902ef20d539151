"""Tells a loss which epoch it is."""

from __future__ import annotations

from typing import Any

from ignite.engine import Engine, Events


class LossSchedule:
    """Ignite handler: call ``loss.set_epoch`` as each epoch starts, with 0 for the first, after a resume too.

    Args:
        loss: left alone if it has no ``set_epoch``.
    """

    def __init__(self, loss: Any) -> None:
        self.loss = loss

    def attach(self, engine: Engine) -> None:
        """Register on a MONAI trainer."""
        if hasattr(self.loss, "set_epoch"):
            engine.add_event_handler(Events.EPOCH_STARTED, self._start_epoch)

    def _start_epoch(self, engine: Engine) -> None:
        self.loss.set_epoch(engine.state.epoch - 1)
