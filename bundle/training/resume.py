"""An interrupted training goes on where it was."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path
from textwrap import shorten
from typing import Any

import torch
from ignite.engine import Engine, Events
from monai.handlers import CheckpointSaver, EarlyStopHandler
from torch.nn.parallel import DistributedDataParallel
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from bundle.errors import bad_input
from bundle.files import replacing

_LOGGER = logging.getLogger(__name__)
_ANEW = "Remove the file, or choose another output_dir, to start anew."


class Resume:
    """Ignite handler: load the state of training when it starts, save it after each epoch.

    MONAI's CheckpointSaver and CheckpointLoader can't hold the trainer itself in a JSON config (the trainer refers to
    its handlers, which would refer to the trainer), so that epoch and iteration would be lost.

    The file is written under a temporary name and renamed: a kill leaves the last complete epoch.

    Optimizers go on with the learning rate that their schedule has come to, times what the rate they are configured
    with has changed since: a training that diverged can go on more slowly.

    Args:
        path: file of the state; where there is one, training continues from it.
        objects: what has a state, by name: network, optimizer, lr_scheduler; the early stop and the saver of the best
            network too, or the first network after a resume would pass for the best. None is left out.
        enabled: False never loads, and never saves (all but the first of several processes only load).
        save: False only loads.

    Raises:
        InputError: from the trainer, where the file can't be read, is of another network, or has no epoch left to do.
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
        states = self._read()
        max_epochs = engine.state.max_epochs
        done = states["trainer"]["iteration"] // states["trainer"]["epoch_length"]
        if max_epochs is not None and done >= max_epochs:
            rule = f"the training to resume must have fewer than max_epochs = {max_epochs} epochs behind it"
            raise bad_input(self.path, rule, done, "Raise max_epochs, or choose another output_dir to start anew.")
        configured = {name: _learning_rates(item) for name, item in self.objects.items()}
        for name, item in self.objects.items():
            if name in states:
                self._load_object(name, item, states[name])
            else:
                _LOGGER.warning("%s has no state of %s, which starts anew", self.path, name)
        for name, rates in configured.items():
            _change_learning_rates(self.objects[name], rates)
        engine.load_state_dict(states["trainer"])
        engine.state.max_epochs = max_epochs
        torch.set_rng_state(states["rng"])
        _LOGGER.info("resumed %s after epoch %d", self.path, done)

    def _read(self) -> dict[str, Any]:
        rule = "the state of an interrupted training can be read"
        try:
            # Checkpoints come from anywhere: tensors and plain values only.
            states = dict(torch.load(self.path, map_location="cpu", weights_only=True))
        except Exception as error:  # torch raises many types for a damaged or foreign file
            raise bad_input(self.path, rule, type(error).__name__, _ANEW) from error
        if not {"trainer", "rng"} <= states.keys():
            raise bad_input(self.path, rule, "another file", _ANEW)
        return states

    def _load_object(self, name: str, item: Any, state: Any) -> None:
        try:
            _stateful(item).load_state_dict(state)
        except (RuntimeError, ValueError, KeyError) as error:
            rule = f"the state to resume from is of this training's {name.replace('_', ' ')}"
            # Below a headline, torch lists the keys that differ.
            first = shorten(str(error).partition("\n")[2] or str(error), 120, placeholder=" ...")
            raise bad_input(self.path, rule, first, _ANEW) from error

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


def _learning_rates(item: Any) -> list[float]:
    """Return the rate that each group of an optimizer, or each base of a scheduler, begins with; none of others."""
    if isinstance(item, Optimizer):
        return [float(group.get("initial_lr", group["lr"])) for group in item.param_groups]
    return list(getattr(item, "base_lrs", []))


def _change_learning_rates(item: Any, configured: list[float]) -> None:
    """Scale the rates of an item that was loaded, so that they begin with those that are configured now."""
    if isinstance(item, LRScheduler):
        item.base_lrs = [*configured]
    if not isinstance(item, Optimizer):
        return
    for group, rate, before in zip(item.param_groups, configured, _learning_rates(item)):
        if rate != before:
            _LOGGER.info("learning rate %g instead of %g from here on", rate, before)
            group["lr"] = group["lr"] * rate / before if before else rate
            group["initial_lr"] = rate
