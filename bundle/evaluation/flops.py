"""Arithmetic that a run needs, and how fast this machine could do it at best."""

from __future__ import annotations

import copy
import time
from collections import Counter
from typing import Any

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

MATRIX_SIZE = 4096
MATRIX_ROUNDS = 5

Shape = tuple[int, ...]


class WindowRecorder:
    """Count the input shapes that a network is called with, while it works as before.

    Args:
        network: whose calls are counted, from now on.
    """

    def __init__(self, network: nn.Module) -> None:
        self.network = network
        self.shapes: Counter[Shape] = Counter()
        network.register_forward_pre_hook(self._record)

    def _record(self, network: nn.Module, inputs: tuple[Any, ...]) -> None:
        self.shapes[tuple(inputs[0].shape)] += 1

    def flops(self) -> int:
        """Return the floating-point operations of all recorded calls; a multiplication with its addition is two."""
        return sum(count * count_flops(self.network, shape) for shape, count in self.shapes.items())


def count_flops(network: nn.Module, shape: Shape) -> int:
    """Return the operations of the matrix products and convolutions of one call with an input of ``shape``.

    Counted on a copy without storage, so nothing is computed. Normalisations and activations are not counted.
    """
    hollow = copy.deepcopy(network).to("meta").eval()
    # The copy brings the recorder's hook along; the count itself is not to be recorded.
    hollow._forward_pre_hooks.clear()
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        hollow(torch.empty(shape, device="meta"))
    return counter.get_total_flops()


def matrix_rate(device: torch.device, dtype: torch.dtype, size: int = MATRIX_SIZE) -> float:
    """Return the operations per second of the best of several square matrix products, with all threads."""
    a, b = (torch.randn(size, size, device=device).to(dtype) for _ in range(2))
    best = float("inf")
    for _ in range(MATRIX_ROUNDS):
        start = time.perf_counter()
        a @ b
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        best = min(best, time.perf_counter() - start)
    return 2 * size**3 / best
