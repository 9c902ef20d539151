"""Cai et al. 2018 in three dimensions: PNet-MSA on every axial slice, then the recurrence over all of them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import nn

from bundle.networks.conv_lstm import BiConvLSTM
from bundle.networks.pnet_msa import PNetMSA

NEIGHBOURS = 3


class SliceSequence(nn.Module):
    """A volume as a sequence of axial slices: each with its two neighbours as channels, and a recurrence along Z.

    Cai et al. 2018, sec. III. The end slices are their own outer neighbours (the paper is silent).

    It is trained in phases: those of :class:`~bundle.networks.pnet_msa.PNetMSA`, then, if ``recurrent``, "recurrent",
    the recurrence alone on what the network gives, and "end_to_end". The paper has the last only; a recurrence that
    starts from scratch would first unlearn what the slice-wise network knows. The phase is part of the weights. A new
    network is in the last phase.

    Args:
        cnn: arguments of :class:`~bundle.networks.pnet_msa.PNetMSA`, without ``in_channels``.
        recurrent: whether there is a recurrence.
        recurrence: arguments of :class:`~bundle.networks.conv_lstm.BiConvLSTM`.
        chunk: slices that PNet-MSA sees at once where it isn't trained, which bounds the memory: with 64 channels and
            512 × 512 pixels about half a gigabyte each.
        freeze_norm: in the phase "end_to_end", batch norm keeps its statistics where a batch has fewer slices than
            this (our choice, the paper is silent); 0 never.
    """

    def __init__(
        self,
        cnn: Mapping[str, Any] | None = None,
        recurrent: bool = True,
        recurrence: Mapping[str, Any] | None = None,
        chunk: int = 4,
        freeze_norm: int = 4,
    ) -> None:
        super().__init__()
        if chunk < 1:
            raise ValueError(f"chunk must be at least 1, got {chunk}")
        self.chunk = chunk
        self.freeze_norm = freeze_norm
        self.cnn = PNetMSA(**dict(cnn or {}), in_channels=NEIGHBOURS)
        self.recurrence = BiConvLSTM(**dict(recurrence or {})) if recurrent else None
        self.phase_names = (*self.cnn.phase_names, *(("recurrent", "end_to_end") if recurrent else ()))
        self.phase: torch.Tensor
        self.register_buffer("phase", torch.tensor(len(self.phase_names) - 1))

    def set_phase(self, phase: int) -> None:
        """Go to a phase of ``phase_names``, counted from 0."""
        if not 0 <= phase < len(self.phase_names):
            raise ValueError(f"phase must be 0 to {len(self.phase_names) - 1}, got {phase}")
        self.phase.fill_(phase)
        self.cnn.set_phase(min(phase, len(self.cnn.phase_names) - 1))

    def forward(self, x: torch.Tensor) -> torch.Tensor | dict[str, torch.Tensor]:
        """Return the logits (B, 1, X, Y, Z) for ``x`` (B, 1, X, Y, Z) in [0, 1], of any size.

        In training a mapping: "pred", and what else is trained of "unit1", "unit2", ... and, before the recurrence,
        "cnn". Equal weights for all heads give the objective of the phase.
        """
        if x.ndim != 5 or x.shape[1] != 1:
            raise ValueError(f"a sequence of slices is (B, 1, X, Y, Z), got {tuple(x.shape)}")
        phase = self.phase_names[int(self.phase)]
        if not self.training:
            return self._recur(self._predict(x), phase)
        if phase == "recurrent":
            with torch.no_grad():
                pred = self._predict(x)
            return {"pred": self._recur(pred, phase)}
        heads = self._train_cnn(x, frozen=phase == "end_to_end" and len(x) * x.shape[-1] < self.freeze_norm)
        if phase != "end_to_end":
            return heads
        pred = heads.pop("pred")
        return {"pred": self._recur(pred, phase), "cnn": pred, **heads}

    def _train_cnn(self, x: torch.Tensor, frozen: bool) -> dict[str, torch.Tensor]:
        _let_norm_learn(self.cnn, not frozen)
        heads = self.cnn.heads(_with_neighbours(x, 0, x.shape[-1]))
        return {name: _as_volume(logits, len(x)) for name, logits in heads.items()}

    def _predict(self, x: torch.Tensor) -> torch.Tensor:
        """Logits (B, 1, X, Y, Z) of PNet-MSA, some slices at a time."""
        _let_norm_learn(self.cnn, False)
        depth = x.shape[-1]
        chunks = []
        for z in range(0, depth, self.chunk):
            slices = _with_neighbours(x, z, min(z + self.chunk, depth))
            chunks.append(_as_volume(self.cnn.heads(slices)["pred"], len(x)))
        return torch.cat(chunks, dim=-1)

    def _recur(self, logits: torch.Tensor, phase: str) -> torch.Tensor:
        if self.recurrence is None or phase not in ("recurrent", "end_to_end"):
            return logits
        return self.recurrence(logits)


def _let_norm_learn(network: nn.Module, learn: bool) -> None:
    """Set whether batch norm uses and follows the statistics of the batch."""
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.train(learn)


def _with_neighbours(x: torch.Tensor, start: int, stop: int) -> torch.Tensor:
    """Slices ``start`` to ``stop`` of ``x`` (B, 1, X, Y, Z), each with its neighbours: (B · slices, 3, X, Y)."""
    around = torch.arange(start - 1, stop + 1, device=x.device).clamp(0, x.shape[-1] - 1)
    slices = x[:, 0, ..., around].permute(0, 3, 1, 2)
    return torch.stack([slices[:, :-2], slices[:, 1:-1], slices[:, 2:]], dim=2).flatten(0, 1)


def _as_volume(logits: torch.Tensor, batch: int) -> torch.Tensor:
    """(B · slices, 1, X, Y) to (B, 1, X, Y, slices)."""
    return logits.unflatten(0, (batch, -1)).permute(0, 2, 3, 4, 1)
