"""One stage of the cascade: how a network sees a part of the scan, and what it says of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from monai.inferers import Inferer
from torch import nn

from bundle.cascade.organs import Organ, see_organs
from bundle.errors import bad_input
from bundle.geometry import Box, Grid
from bundle.preprocess import HUWindows, resample
from bundle.preprocess.whole_scan import WholeScanIntensity

_ALL_CLASSES = "all_classes"

Refinement = Callable[[torch.Tensor, torch.Tensor, Sequence[float]], torch.Tensor]


@dataclass(frozen=True)
class StageOutput:
    """What a stage says of a box of the scan.

    Args:
        probability: (K, X, Y, Z) on ``grid``, one channel per kept class.
        grid: the stage's grid over the box.
        extra: outputs of the network's other heads by name, (N, X, Y, Z) on ``grid``.
        organs: that were looked for and seen, by name.
    """

    probability: torch.Tensor
    grid: Grid
    extra: dict[str, torch.Tensor] = field(default_factory=dict)
    organs: dict[str, Organ] = field(default_factory=dict)


class Stage:
    """Crop, resample, window and infer: Hounsfield units of a box to class probabilities on the stage's grid.

    Args:
        inferer: how the network covers the box, in one piece or by windows.
        spacing_mm: (X, Y, Z) of the stage's grid; None keeps the scan's own.
        downsample: instead, how many scan voxels make one voxel of the stage along each axis.
        resampling: method of :func:`~bundle.preprocess.resample.resample` to that grid.
        intensity: Hounsfield units (1, X, Y, Z) to network input (C, X, Y, Z); a
            :class:`~bundle.preprocess.whole_scan.WholeScanIntensity` is shown the whole scan before.
        channels: classes to keep, in this order; never the background.
        activation: ``softmax``, ``sigmoid``, or ``none`` for a network that returns probabilities.
        head: the output that holds the classes, where the network returns several (a mapping's key).
        amp: bfloat16 autocast; a window that isn't finite is computed again in float32.
        refine: called in the cascade with the probability (K, X, Y, Z), the box in HU (1, X, Y, Z) and the spacing in
            mm, all on the stage's grid; returns the probability that counts, such as :class:`bundle.crf.DenseCRF`.
        organs: further classes to tell about, by name: their channels.
    """

    def __init__(
        self,
        inferer: Inferer,
        spacing_mm: Sequence[float] | None = None,
        downsample: int = 1,
        intensity: Callable[[torch.Tensor], torch.Tensor] | None = None,
        channels: Sequence[int] = (1,),
        activation: str = "softmax",
        head: str = "pred",
        amp: bool = True,
        resampling: str = "linear",
        refine: Refinement | None = None,
        organs: Mapping[str, int] | None = None,
    ) -> None:
        if activation not in _ACTIVATIONS:
            raise ValueError(f"activation must be one of {sorted(_ACTIVATIONS)}, got {activation!r}")
        if spacing_mm is not None and not (len(spacing_mm) == 3 and min(spacing_mm) > 0):
            rule = "the grid of a stage has three spacings above 0, along X, Y and Z"
            raise bad_input("spacing_mm", rule, list(spacing_mm), "Write [2, 2, 2], for example.")
        self.inferer = inferer
        self.spacing_mm = None if spacing_mm is None else tuple(spacing_mm)
        self.downsample = downsample
        self.intensity = intensity or HUWindows()
        self.channels = tuple(channels)
        self.activation = activation
        self.head = head
        self.amp = amp
        self.resampling = resampling
        self.refine = refine
        self.organs = dict(organs or {})

    def __call__(self, scan: torch.Tensor, scan_grid: Grid, box: Box, network: nn.Module) -> StageOutput:
        """Return what ``network`` says of ``scan`` (1, X, Y, Z), in HU on ``scan_grid``, inside ``box``."""
        grid = self.grid(scan_grid.crop(box))
        device = next(network.parameters()).device
        intensity = self.intensity.fitted(scan) if isinstance(self.intensity, WholeScanIntensity) else self.intensity
        image_hu = resample(box.crop(scan).to(device), grid.size, self.resampling)
        outputs = self.infer(intensity(image_hu)[None], network)
        probability = outputs.pop(self.head)[0]
        if self.refine is not None:
            probability = self.refine(probability, image_hu, grid.spacing_mm)
        organs = see_organs(outputs.pop(_ALL_CLASSES)[0], image_hu, grid, self.organs) if self.organs else {}
        return StageOutput(probability, grid, {name: values[0] for name, values in outputs.items()}, organs)

    def infer(self, inputs: torch.Tensor, network: nn.Module) -> dict[str, torch.Tensor]:
        """Return what ``network`` says of network input (1, C, X, Y, Z), by head; the main one as probabilities."""
        output = self.inferer(inputs, _Probabilities(network, self))
        return dict(output) if isinstance(output, Mapping) else {self.head: output}

    def grid(self, box_grid: Grid) -> Grid:
        """Return the stage's grid over a piece of the scan."""
        return box_grid.resampled(self.spacing_mm or [s * self.downsample for s in box_grid.spacing_mm])


class _Probabilities(nn.Module):
    """A network whose main output is turned into the probabilities of the kept classes, in float32 and finite."""

    def __init__(self, network: nn.Module, stage: Stage) -> None:
        super().__init__()
        self.network = network
        self.stage = stage

    def forward(self, windows: torch.Tensor) -> Any:
        outputs = self._finite(windows)
        probability = _ACTIVATIONS[self.stage.activation](outputs[self.stage.head])
        outputs[self.stage.head] = probability[:, list(self.stage.channels)]
        if self.stage.organs:
            outputs[_ALL_CLASSES] = probability
        return outputs if len(outputs) > 1 else outputs[self.stage.head]

    def _finite(self, windows: torch.Tensor) -> dict[str, torch.Tensor]:
        for amp in (True, False) if self.stage.amp else (False,):
            with torch.autocast(windows.device.type, dtype=torch.bfloat16, enabled=amp):
                output = self.network(windows)
            outputs = dict(output) if isinstance(output, Mapping) else {self.stage.head: output}
            outputs = {name: values.float() for name, values in outputs.items()}
            # Extremes tell in one pass what asking every value for isfinite() tells in four.
            if torch.stack(outputs[self.stage.head].aminmax()).isfinite().all():
                return outputs
        raise bad_input(
            "network", "outputs must be finite", "NaN or infinity in float32", "Check the weights and the scan's HU."
        )


def _softmax(logits: torch.Tensor) -> torch.Tensor:
    return logits.softmax(dim=1)


def _identity(probability: torch.Tensor) -> torch.Tensor:
    return probability


_ACTIVATIONS: dict[str, Callable[[torch.Tensor], torch.Tensor]] = {
    "softmax": _softmax,
    "sigmoid": torch.sigmoid,
    "none": _identity,
}
