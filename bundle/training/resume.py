"""An interrupted training goes on where it was."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from ignite.engine import Engine, Events
from monai.handlers import CheckpointSaver, EarlyStopHandler
from torch.nn.parallel import DistributedDataParallel

from bundle.errors import bad_input
from bundle.files import replacing

_LOGGER = logging.getLogger(__name__)


class Resume:
    """Ignite handler: load the state of training when it starts, save it after each epoch.

    MONAI's CheckpointSaver and CheckpointLoader can't hold the trainer itself in a JSON config (the trainer refers to
    its handlers, which would refer to the trainer), so that epoch and iteration would be lost.

    The file is written under a temporary name and renamed: a kill leaves the last complete epoch.

    Args:
        path: file of the state; where there is one, training continues from it.
        objects: what has a state, by name: network, optimizer, lr_scheduler; the early stop and the saver of the best
            network too, or the first network after a resume would pass for the best. None is left out.
        enabled: False never loads, and never saves (all but the first of several processes only load).
        save: False only loads.
    """

    def __init__(self, path: str, objects: Mapping[str, Any], enabled: bool = True, save: bool = True) -> None:
        self.path = Path(path)
        self.objects = {name: item for name, item in objects.items() if item is not None}
        self.enabled = enabled
        self.save = save

    def attach(self, engine: Engine) -> None:
        """Register on a MONAI trainer."""
        if not self.enabled:
            return
        engine.add_event_handler(Events.STARTED, self._start)

    def _start(self, engine: Engine) -> None:
        self._load(engine)
        # Added only now, to run after every other handler: the learning rate has been stepped, the epoch validated.
        if self.save and not engine.has_event_handler(self._save):
            engine.add_event_handler(Events.EPOCH_COMPLETED, self._save)

    def _load(self, engine: Engine) -> None:
        if not self.path.is_file():
            return
        # Checkpoints come from anywhere: tensors and plain values only.
        states = torch.load(self.path, map_location="cpu", weights_only=True)
        max_epochs = engine.state.max_epochs
        done = states["trainer"]["iteration"] // states["trainer"]["epoch_length"]
        if max_epochs is not None and done >= max_epochs:
            rule = f"the training to resume must have fewer than max_epochs = {max_epochs} epochs behind it"
            raise bad_input(self.path, rule, done, "Raise max_epochs, or choose another output_dir to start anew.")
        for name, item in self.objects.items():
            if name in states:
                _stateful(item).load_state_dict(states[name])
            else:
                _LOGGER.warning("%s has no state of %s, which starts anew", self.path, name)
        engine.load_state_dict(states["trainer"])
        engine.state.max_epochs = max_epochs
        torch.set_rng_state(states["rng"])
        _LOGGER.info("resumed %s after epoch %d", self.path, done)

    def _save(self, engine: Engine) -> None:
        states = {name: _stateful(item).state_dict() for name, item in self.objects.items()}
        states["trainer"] = dict(engine.state_dict())
        states["rng"] = torch.get_rng_state()
        with replacing(self.path) as temporary:
            torch.save(states, temporary)


def _stateful(item: Any) -> Any:
    """Return what has the ``state_dict``: the network in DistributedDataParallel, ignite's handler in MONAI's."""
    if isinstance(item, DistributedDataParallel):
        return item.module  # so that one process can continue what several began
    if isinstance(item, CheckpointSaver):
        return item._key_metric_checkpoint
    if isinstance(item, EarlyStopHandler):
        return item._handler
    return item
