"""How a network covers its input: in one piece or by windows, in mixed precision or not."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from monai.inferers import Inferer, SlidingWindowInferer
from torch.nn.functional import pad


class WholeVolumeInferer(Inferer):
    """Run the network once on the whole input, padded at the far ends to a multiple of ``divisor`` voxels.

    Args:
        divisor: what the network's poolings need; at least twice as many voxels, for the reason that
            :class:`FittedWindowInferer` gives.
        padding_mode: of :func:`torch.nn.functional.pad`.
    """

    def __init__(self, divisor: int = 16, padding_mode: str = "replicate") -> None:
        super().__init__()
        self.divisor = divisor
        self.padding_mode = padding_mode

    def __call__(self, inputs: torch.Tensor, network: Callable[..., torch.Tensor], *args: Any, **kwargs: Any) -> Any:
        """Return the network's output (B, N, X, Y, Z) for ``inputs`` (B, C, X, Y, Z)."""
        x, y, z = inputs.shape[-3:]
        extra = [(0, max(2, -(-n // self.divisor)) * self.divisor - n) for n in (z, y, x)]
        padded = pad(inputs, [n for pair in extra for n in pair], mode=self.padding_mode)
        return network(padded, *args, **kwargs)[..., :x, :y, :z]


class FittedWindowInferer(Inferer):
    """MONAI's sliding windows, none larger than the input: a thin slab is not padded to the depth of a window.

    Padding repeats the outermost slices; where most of a window is such repetition the network loses its bearings
    (docs/real_ct.md).

    Args:
        roi_size: largest window, (X, Y, Z) voxels.
        divisor: windows smaller than that are multiples of it, as the network's poolings need, and at least twice as
            large: with a single voxel at the deepest level PyTorch 2.13 returns NaN (bfloat16, channels last).
        **window_kwargs: passed to :class:`monai.inferers.SlidingWindowInferer`.
    """

    def __init__(self, roi_size: Sequence[int], divisor: int = 8, **window_kwargs: Any) -> None:
        super().__init__()
        self.roi_size = tuple(roi_size)
        self.divisor = divisor
        self.window_kwargs = window_kwargs

    def __call__(self, inputs: torch.Tensor, network: Callable[..., torch.Tensor], *args: Any, **kwargs: Any) -> Any:
        """Return the network's output (B, N, X, Y, Z) for ``inputs`` (B, C, X, Y, Z)."""
        fitted = [max(2, -(-n // self.divisor)) * self.divisor for n in inputs.shape[-3:]]
        roi_size = [min(largest, fit) for largest, fit in zip(self.roi_size, fitted)]
        return SlidingWindowInferer(roi_size, **self.window_kwargs)(inputs, network, *args, **kwargs)


class MixedPrecisionInferer(Inferer):
    """Another inferer under bfloat16 autocast; the output is float32.

    bfloat16 has the range of float32, so that nothing overflows and no gradient needs scaling; it runs on CPUs and on
    GPUs alike, for which MONAI's engines know CUDA's float16 only.

    Args:
        inferer: called under autocast.
        amp: False calls it as it is.
    """

    def __init__(self, inferer: Inferer, amp: bool = True) -> None:
        super().__init__()
        self.inferer = inferer
        self.amp = amp

    def __call__(self, inputs: torch.Tensor, network: Callable[..., torch.Tensor], *args: Any, **kwargs: Any) -> Any:
        """Return what the inner inferer returns."""
        with torch.autocast(inputs.device.type, dtype=torch.bfloat16, enabled=self.amp):
            output = self.inferer(inputs, network, *args, **kwargs)
        return output.float() if isinstance(output, torch.Tensor) else output
