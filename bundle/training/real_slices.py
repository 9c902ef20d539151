"""Real slices with expert masks beside the scans of a training: another gradient for the same weights."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from pathlib import Path

import torch
from ignite.engine import Engine, Events
from monai.engines.utils import IterationEvents
from monai.inferers import SimpleInferer
from torch import nn

from bundle.cascade.inferers import MixedPrecisionInferer
from bundle.losses import JaccardLoss, ScheduledSum, VoxelCrossEntropyLoss
from bundle.networks.slice_segmenter import SliceSegmenter
from bundle.read.slices import held_out_patients, read_slices
from bundle.training.slice_loader import slice_loader

_LOGGER = logging.getLogger(__name__)


def slice_loss() -> nn.Module:
    """Return cross entropy plus Jaccard loss of the pancreas against all else: nobody outlined the other organs."""
    return ScheduledSum([VoxelCrossEntropyLoss(), JaccardLoss()], [1, 1])


class RealSlices:
    """Ignite handler: add the gradient of a few real slices to that of each batch, before the optimizer's step.

    The 3-D network sees them through :class:`~bundle.networks.slice_segmenter.SliceSegmenter`. Their loss is
    :func:`slice_loss`. Every process of a distributed training takes the same slices, so that its weights stay the
    same.

    Args:
        network: that is trained, MONAI's ``UNet`` in 3-D.
        data: folder that holds nih_slices, see :func:`~bundle.read.slices.read_slices`.
        intensity: of the stage that is trained.
        test_fold: 0 to 3, whose patients are left out; None takes all.
        weight: of the slices' loss.
        batch_size: slices for each batch of scans.
        size: pixels along each side to which a slice is reduced; 256 are about 1.5 mm each.
        amp: compute in mixed precision.
        seed: of order and augmentation.

    Raises:
        InputError: no slices.
    """

    def __init__(
        self,
        network: nn.Module,
        data: str,
        intensity: Callable[[torch.Tensor], torch.Tensor],
        test_fold: int | None = None,
        weight: float = 0.5,
        batch_size: int = 2,
        size: int = 256,
        amp: bool = True,
        seed: int = 0,
    ) -> None:
        self.network = SliceSegmenter(getattr(network, "module", network), intensity)  # of DistributedDataParallel
        slices = read_slices(Path(data))
        tested = set() if test_fold is None else set(held_out_patients(slices, test_fold))
        self.patients = sorted({item.patient for item in slices} - tested)
        self.loader = slice_loader(
            [item for item in slices if item.patient in self.patients],
            size,
            batch_size,
            seed,
            channels=1,
        )
        self.weight = weight
        self.inferer = MixedPrecisionInferer(SimpleInferer(), amp)
        self.loss = slice_loss()
        self.values: list[float] = []
        self._batches: Iterator[dict[str, torch.Tensor]] = iter(())

    def attach(self, engine: Engine) -> None:
        """Register on a MONAI trainer."""
        engine.add_event_handler(IterationEvents.BACKWARD_COMPLETED, self._add_gradient)
        engine.add_event_handler(Events.EPOCH_COMPLETED, self._log)

    def _add_gradient(self, engine: Engine) -> None:
        batch = self._next_batch()
        device = next(self.network.parameters()).device
        image, label = (batch[key].to(device) for key in ("image", "label"))
        logits = self.inferer(image, self.network)
        loss = self.loss(logits, label)
        (self.weight * loss).backward()
        self.values.append(loss.item())

    def _next_batch(self) -> dict[str, torch.Tensor]:
        batch = next(self._batches, None)
        if batch is None:
            self._batches = iter(self.loader)
            batch = next(self._batches)
        return batch

    def _log(self, engine: Engine) -> None:
        mean = sum(self.values) / len(self.values)
        _LOGGER.info("epoch %d: loss of the real slices %.3f", engine.state.epoch, mean)
        self.values.clear()
