"""The recurrent part of Cai et al. 2018: a convolutional LSTM over the slices, upwards and downwards."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import torch
from torch import nn

from bundle.networks.mixture import ProbabilityMixture

PEEPHOLES = ("none", "scalar", "map")


class ConvLSTM(nn.Module):
    r"""Convolutional LSTM over one-channel maps; what it says of a map is its output gate.

    Cai et al. 2018, eq. 5-9, with hidden state and cell of one channel and 3×3 kernels: four gates, one kernel each on
    the map and on the hidden state, 72 weights as the paper counts; and four biases, which it does not count.

    Where the paper is silent or doubtful: the weights on the cell (``peephole``) are one number per gate, since maps of
    them would be thousands of weights, and none would keep the output gate from seeing the cell at all; state and cell
    start at zero, peepholes too; the forget gate's bias starts at 1. The output gate starts as
    :math:`\sigma(g (\hat y - 1/2))` of the map :math:`\hat y` (``gain``), so that the recurrence begins with what the
    slice-wise network says instead of with noise. All of it is computed in float32.

    Args:
        peephole: ``none``, ``scalar``, or ``map``, one weight per pixel, for which ``map_size`` is needed.
        map_size: (X, Y) pixels.
        gain: g above; 0 starts the output gate at random too.
    """

    def __init__(self, peephole: str = "scalar", map_size: Sequence[int] | None = None, gain: float = 8.0) -> None:
        super().__init__()
        if peephole not in PEEPHOLES:
            raise ValueError(f"peephole must be one of {PEEPHOLES}, got {peephole!r}")
        if (map_size is None) == (peephole == "map"):
            raise ValueError(f"map_size goes with peephole 'map' and with no other, got {peephole!r} and {map_size}")
        self.map_size = map_size if map_size is None else tuple(map_size)
        self.of_map = nn.Conv2d(1, 4, kernel_size=3, padding=1)
        self.of_hidden = nn.Conv2d(1, 4, kernel_size=3, padding=1, bias=False)
        size = self.map_size or (1, 1)
        self.of_cell = None if peephole == "none" else nn.Parameter(torch.zeros(3, *size))
        self._initialise(gain)

    def forward(self, maps: Iterable[torch.Tensor]) -> Iterator[torch.Tensor]:
        """Yield the logits (B, 1, X, Y) of the output gate at each of ``maps`` (B, 1, X, Y), which came in this order.

        A result depends on its own map and those before.
        """
        hidden = cell = None
        for values in maps:
            if hidden is None or cell is None:
                self._check_size(values)
                hidden = cell = torch.zeros_like(values, dtype=torch.float32)
            output, hidden, cell = self._step(values, hidden, cell)
            yield output

    def _step(
        self, values: torch.Tensor, hidden: torch.Tensor, cell: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        with torch.autocast(values.device.type, enabled=False):
            gates = self.of_map(values.float()) + self.of_hidden(hidden)
            enter, forget, candidate, output = gates.split(1, dim=1)
            if self.of_cell is not None:
                enter = enter + self.of_cell[0] * cell
                forget = forget + self.of_cell[1] * cell
            cell = forget.sigmoid() * cell + enter.sigmoid() * candidate.tanh()
            if self.of_cell is not None:
                output = output + self.of_cell[2] * cell
            return output, output.sigmoid() * cell.tanh(), cell

    def _check_size(self, values: torch.Tensor) -> None:
        if self.map_size is not None and self.map_size != tuple(values.shape[-2:]):
            raise ValueError(f"maps must be of map_size {self.map_size}, got {tuple(values.shape[-2:])}")

    @torch.no_grad()
    def _initialise(self, gain: float) -> None:
        self.of_map.bias[1] = 1  # type: ignore[index]
        if gain == 0:
            return
        self.of_map.weight[3] = 0
        self.of_map.weight[3, 0, 1, 1] = gain
        self.of_map.bias[3] = -gain / 2  # type: ignore[index]
        self.of_hidden.weight[3] = 0


class BiConvLSTM(nn.Module):
    r"""Two :class:`ConvLSTM` in opposite directions along Z, averaged: :math:`\bar Y = \sum_i \lambda_i O^i`.

    Cai et al. 2018, eq. 10. The learned :math:`\lambda` are positive, add up to one and are equal at first.

    Args:
        peephole: see :class:`ConvLSTM`.
        map_size: see :class:`ConvLSTM`.
        gain: see :class:`ConvLSTM`.
    """

    def __init__(self, peephole: str = "scalar", map_size: Sequence[int] | None = None, gain: float = 8.0) -> None:
        super().__init__()
        self.upwards = ConvLSTM(peephole, map_size, gain)
        self.downwards = ConvLSTM(peephole, map_size, gain)
        self.fusion = ProbabilityMixture(2)

    def forward(self, logits: torch.Tensor) -> torch.Tensor:
        """Return logits (B, 1, X, Y, Z), in float32, for the logits (B, 1, X, Y, Z) of the slice-wise network."""
        slices = logits.unbind(dim=-1)
        # Each slice of the upward pass gives way to the average, so that a long scan is held twice and not four times.
        results = list(self.upwards(_probabilities(slices)))
        places = reversed(range(len(slices)))
        for z, downwards in zip(places, self.downwards(_probabilities(slices[::-1]))):
            results[z] = self.fusion([results[z], downwards])
        return torch.stack(results, dim=-1)


def _probabilities(slices: Iterable[torch.Tensor]) -> Iterator[torch.Tensor]:
    for logits in slices:
        yield logits.float().sigmoid()
