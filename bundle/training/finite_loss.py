"""A training whose loss is no number any more ends, before it spoils its checkpoint."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from ignite.engine import Engine, Events
from monai.engines.utils import IterationEvents

from bundle.errors import bad_input

_REMEDY = (
    "Look at the scan and its label, or lower learning_rate; called again, the training goes on after its last "
    "complete epoch."
)


class FiniteLoss:
    """Ignite handler: raise where the loss, or a weight at the end of an epoch, is NaN or infinite.

    To be attached before :class:`~bundle.training.Resume`, which then keeps the state of the last good epoch.

    Raises:
        InputError: from the trainer, naming the batch's ``case`` (see :class:`~bundle.training.CachedScans`).
    """

    def attach(self, engine: Engine) -> None:
        """Register on a MONAI trainer."""
        engine.add_event_handler(IterationEvents.LOSS_COMPLETED, self._check_loss)
        engine.add_event_handler(Events.EPOCH_COMPLETED, self._check_weights)

    def _check_loss(self, engine: Engine) -> None:
        loss = engine.state.output["loss"]  # type: ignore[index]  # a dict, of MONAI's trainer
        if not torch.isfinite(loss):
            raise bad_input(_cases(engine.state.batch), "the loss is a number", f"{loss.item()}", _REMEDY)

    def _check_weights(self, engine: Engine) -> None:
        network = engine.network  # type: ignore[attr-defined]  # of MONAI's trainer
        for name, weight in network.named_parameters():
            if not torch.isfinite(weight).all():
                cases = _cases(engine.state.batch)
                raise bad_input(cases, "weights are numbers", f"NaN or infinity in {name}", _REMEDY)


def _cases(batch: Any) -> str:
    cases: Sequence[str] = batch.get("case", ()) if isinstance(batch, dict) else ()
    return ", ".join(cases) or "training"
