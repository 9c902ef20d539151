"""PNet-MSA, the slice-wise network of Cai et al. 2018: units that each give a map, averaged; grown unit by unit."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import nn
from torch.nn.functional import pad

from bundle.networks.init import initialised
from bundle.networks.mixture import ProbabilityMixture


class PNetMSA(nn.Module):
    r"""2-D network of ``units`` units, each with a map of its own: :math:`\hat Y = \sum_k w_k U_k`.

    Cai et al. 2018 (Pancreas segmentation in CT and MRI images via domain specific network designing and recurrent
    neural contextual learning), sec. III-A and Fig. 3. The forward branch of a unit is four 3×3 convolutions with batch
    norm and ReLU, after a 2×2 max-pooling in all units but the first. Its backward branch climbs back to the first
    resolution, at each step concatenating the forward branch of that resolution, and ends in a 1×1 convolution.

    Departures: the up-convolutions have stride 2, as they must to double the size, where Fig. 3 prints 1; the weights
    are positive and add up to one (:class:`~bundle.networks.mixture.ProbabilityMixture`). Initialisation is that of He
    et al. 2015 ("MSRA"), biases zero.

    The network can be trained unit by unit (sec. III-A, "layer by layer"): in phase k < ``units`` only the first k + 1
    units exist for it and the newest unit's map is the prediction; in the last phase, "fused", the weighted average is.
    The phase is part of the weights, so that a checkpoint of any phase predicts as it was trained. A new network is in
    the last phase.

    Args:
        units: K of the paper, 5.
        channels: of every convolution but the last of each branch; 64 in the paper.
        in_channels: neighbouring slices; 3 in the paper.
    """

    def __init__(self, units: int = 5, channels: int = 64, in_channels: int = 3) -> None:
        super().__init__()
        if units < 1:
            raise ValueError(f"units must be at least 1, got {units}")
        self.divisor = 2 ** (units - 1)
        self.phase_names = (*(f"unit{k}" for k in range(1, units + 1)), "fused")
        self.forward_branches = nn.ModuleList(
            _forward_branch(channels if k else in_channels, channels) for k in range(units)
        )
        self.backward_branches = nn.ModuleList(_BackwardBranch(k, channels) for k in range(units))
        self.pool = nn.MaxPool2d(kernel_size=2)
        self.fusion = ProbabilityMixture(units)
        self.phase: torch.Tensor
        self.register_buffer("phase", torch.tensor(units))
        initialised(self, "he")

    def set_phase(self, phase: int) -> None:
        """Grow, or shrink, to the units of the phase: 0 is the first unit alone, ``units`` is all of them, fused."""
        if not 0 <= phase < len(self.phase_names):
            raise ValueError(f"phase must be 0 to {len(self.phase_names) - 1}, got {phase}")
        self.phase.fill_(phase)

    def forward(self, x: torch.Tensor) -> torch.Tensor | dict[str, torch.Tensor]:
        """Return the logits (B, 1, X, Y) for ``x`` (B, C, X, Y), of any size; in training :meth:`heads`."""
        heads = self.heads(x)
        return heads if self.training else heads["pred"]

    def heads(self, x: torch.Tensor) -> dict[str, torch.Tensor]:
        """Return the logits "pred" and, of each unit that is not itself the prediction, "unit1", "unit2", ...

        Equal weights for all heads give the objective of the phase: the sum of the units' losses while growing, that of
        the average with them at the end (eq. 4).
        """
        units = self.unit_logits(x)
        pred = self.fusion(units) if int(self.phase) == len(self.phase_names) - 1 else units.pop()
        return {"pred": pred, **{f"unit{k}": logits for k, logits in enumerate(units, start=1)}}

    def unit_logits(self, x: torch.Tensor) -> list[torch.Tensor]:
        """Return the logits (B, 1, X, Y) of each unit of the phase, the first unit first."""
        width, height = x.shape[-2:]
        # Padded for all units from the start, or a growing network would see its border change.
        padded = pad(x, (0, -height % self.divisor, 0, -width % self.divisor), mode="replicate")
        features = self.features(padded)
        return [branch(features[: k + 1])[..., :width, :height] for k, branch in enumerate(self._active_branches())]

    def features(self, x: torch.Tensor) -> list[torch.Tensor]:
        """Return F_1, F_2, ... of the units of the phase, each at half the resolution of the one before."""
        features: list[torch.Tensor] = []
        for branch, _ in zip(self.forward_branches, self._active_branches()):
            features.append(branch(self.pool(features[-1]) if features else x))
        return features

    def _active_branches(self) -> list[nn.Module]:
        return list(self.backward_branches)[: int(self.phase) + 1]


def load_fewer_units(network: PNetMSA, weights: Mapping[str, torch.Tensor]) -> list[str]:
    """Copy the weights of a network of fewer units into ``network``, and return the names of those that stay new.

    Args:
        network: of more units than the weights, equal channels.
        weights: ``state_dict`` of a :class:`PNetMSA`.

    Raises:
        ValueError: a tensor of ``weights`` has no place in ``network``, or another shape there.
    """
    own = network.state_dict()
    known = {name: values for name, values in weights.items() if name != "phase"}
    for name, values in known.items():
        shape = tuple(own[name].shape) if name in own else "no such tensor"
        if shape != tuple(values.shape):
            raise ValueError(f"weights must be of fewer units; {name} is {tuple(values.shape)}, the network's {shape}")
    network.load_state_dict(known, strict=False)
    return [name for name in own if name not in known and name != "phase"]


def _forward_branch(in_channels: int, channels: int) -> nn.Sequential:
    return nn.Sequential(*(_convolution(channels if i else in_channels, channels) for i in range(4)))


class _BackwardBranch(nn.Module):
    """From F_1 ... F_k to the logits of unit k, at the resolution of F_1."""

    def __init__(self, climbs: int, channels: int) -> None:
        super().__init__()
        self.climb = nn.ModuleList(_up_convolution(channels) for _ in range(climbs))
        self.merge = nn.ModuleList(_convolution(2 * channels, channels) for _ in range(climbs))
        self.score = nn.Conv2d(channels, 1, kernel_size=1)

    def forward(self, features: list[torch.Tensor]) -> torch.Tensor:
        *finer, y = features
        for climb, merge, feature in zip(self.climb, self.merge, reversed(finer)):
            y = merge(torch.cat([climb(y), feature], dim=1))
        return self.score(y)


def _convolution(in_channels: int, channels: int) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(in_channels, channels, kernel_size=3, padding=1), *_norm_and_relu(channels))


def _up_convolution(channels: int) -> nn.Sequential:
    return nn.Sequential(nn.ConvTranspose2d(channels, channels, kernel_size=2, stride=2), *_norm_and_relu(channels))


def _norm_and_relu(channels: int) -> tuple[nn.Module, nn.Module]:
    return nn.BatchNorm2d(channels), nn.ReLU(inplace=True)
