"""Windows at stated places: where they start, and how their overlapping answers become one."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from itertools import product
from typing import Any

import torch
from monai.inferers import Inferer
from torch.nn.functional import pad

from bundle.errors import bad_input
from bundle.geometry import Box, Size, as_size

Starts = tuple[list[int], list[int], list[int]]


def starts_by_step(size: int, window: int, step: int) -> list[int]:
    """Return 0, ``step``, 2·``step``, … and, where that misses the end, ``size - window`` (Xue 2019, sec. III).

    Args:
        size: voxels of the axis, no fewer than ``window``.
        window: voxels of a window.
        step: voxels from one window to the next, no more than ``window``.
    """
    _check_window(size, window)
    if not 1 <= step <= window:
        raise ValueError(f"a step beyond the window leaves gaps, got {step} for windows of {window}")
    last = size - window
    starts = list(range(0, last + 1, step))
    return starts if starts[-1] == last else [*starts, last]


def starts_by_count(size: int, window: int, extra: int) -> list[int]:
    """Return ⌊``size`` / ``window``⌋ + ``extra`` starts, evenly spread up to ``size - window`` (Zhu 2018, sec. 4.1).

    The paper gives the count, not the places: they are rounded to whole voxels (half up), so that there are fewer of
    them where the axis has no more places to offer. The code that the paper builds on
    (https://github.com/yulequan/HeartSeg) rounds the distance up instead, which may miss the count by one.

    Args:
        size: voxels of the axis, no fewer than ``window``.
        window: voxels of a window.
        extra: the paper's n; 0 still gives as many windows as the axis needs.
    """
    _check_window(size, window)
    gaps = max(size // window + extra, math.ceil(size / window)) - 1
    if gaps < 1:
        return [0]
    return sorted({(2 * i * (size - window) + gaps) // (2 * gaps) for i in range(gaps + 1)})


def starts_by_tile(size: int, tile: int) -> list[int]:
    """Return 0, ``tile``, 2·``tile``, … below ``size``: the last tile may stick out (Roth 2018, sec. 2.4)."""
    return list(range(0, size, tile))


def hits(starts: Iterable[int], window: int, size: int) -> torch.Tensor:
    """Return in how many windows each of the ``size`` voxels of an axis lies, float32; what sticks out is cut."""
    count = torch.zeros(size)
    for start in starts:
        count[start : start + window] += 1
    return count


def pad_to(volume: torch.Tensor, size: Sequence[int], mode: str = "replicate") -> tuple[torch.Tensor, list[int]]:
    """Return ``volume`` (..., X, Y, Z) padded on both sides to at least ``size``, and the voxels added before it.

    Args:
        volume: five-dimensional for ``replicate``.
        size: (X, Y, Z); an odd voxel is added at the far end.
        mode: ``replicate`` repeats the outermost voxels, ``constant`` adds zeros.
    """
    missing = [max(least - n, 0) for n, least in zip(volume.shape[-3:], size, strict=True)]
    before = [m // 2 for m in missing]
    return _pad(volume, before, [m - b for m, b in zip(missing, before)], mode), before


class WindowInferer(Inferer):
    """Overlapping windows that all count alike, laid out by step or by number; every voxel lies in at least one.

    Axes shorter than a window are padded on both sides and cut again.

    Args:
        roi_size: window, (X, Y, Z) voxels.
        step: voxels from one window to the next, (X, Y, Z); see :func:`starts_by_step`.
        count: instead, windows per axis beyond ⌊size / window⌋; see :func:`starts_by_count`.
        merge: ``mean`` of the probabilities, or ``vote``: the share of windows whose probability is at least 0.5 (of
            two classes: whose label is foreground), so that 0.5 in the result is a majority or a tie. Other heads than
            the main one are always averaged.
        batch: windows per call of the network.
        padding_mode: see :func:`pad_to`.
        head: the main output of a network that returns several.
    """

    def __init__(
        self,
        roi_size: Sequence[int],
        step: Sequence[int] | None = None,
        count: int | None = None,
        merge: str = "mean",
        batch: int = 1,
        padding_mode: str = "replicate",
        head: str = "pred",
    ) -> None:
        super().__init__()
        if (step is None) == (count is None):
            raise ValueError(f"windows are laid out by 'step' or by 'count', got {step} and {count}")
        if merge not in ("mean", "vote"):
            raise ValueError(f"merge must be 'mean' or 'vote', got {merge!r}")
        if padding_mode not in ("replicate", "constant"):
            raise ValueError(f"padding_mode must be 'replicate' or 'constant', got {padding_mode!r}")
        self.roi_size = as_size(roi_size)
        self.step = None if step is None else as_size(step)
        if self.step and any(not 1 <= s <= n for s, n in zip(self.step, self.roi_size)):
            rule = f"from window to window there are 1 voxel or more, and no gaps between windows of {self.roi_size}"
            raise bad_input("step", rule, self.step, "Write a quarter of the window, for example.")
        self.count = count
        self.merge = merge
        self.batch = batch
        self.padding_mode = padding_mode
        self.head = head

    def starts(self, size: Sequence[int]) -> Starts:
        """Return where the windows start along each axis of a volume of ``size``, no smaller than a window."""
        if self.step is not None:
            x, y, z = (starts_by_step(n, w, s) for n, w, s in zip(size, self.roi_size, self.step, strict=True))
        else:
            x, y, z = (starts_by_count(n, w, self.count or 0) for n, w in zip(size, self.roi_size, strict=True))
        return x, y, z

    def __call__(self, inputs: torch.Tensor, network: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """Return the merged outputs (1, N, X, Y, Z), or a dict of them by head, for ``inputs`` (1, C, X, Y, Z)."""
        padded, before = pad_to(inputs, self.roi_size, self.padding_mode)
        merge = _Merge(self.starts(padded.shape[-3:]), self.roi_size, voter=self.head if self.merge == "vote" else None)
        merge.run(padded, self.roi_size, self.batch, network, *args, **kwargs)
        return merge.result(before, inputs.shape[-3:])


class TileInferer(Inferer):
    """Tiles of a network without padding, whose output is smaller than its input by a halo on every side.

    Output tiles lie on a grid from the origin; each reads its own place grown by the halo, the volume going on as
    zeros. What sticks out at the far ends is cut. Tiles that overlap are averaged (Roth 2018, sec. 2.4, eq. 5), other
    heads too.

    Args:
        output_size: tile that the network returns, (X, Y, Z) voxels.
        halo: voxels that it needs more on each side, one number or (X, Y, Z).
        stride: voxels from one tile to the next, (X, Y, Z); by default ``output_size``, so that none overlap.
        batch: tiles per call of the network.
    """

    def __init__(
        self,
        output_size: Sequence[int],
        halo: int | Sequence[int],
        stride: Sequence[int] | None = None,
        batch: int = 1,
    ) -> None:
        super().__init__()
        self.output_size = as_size(output_size)
        self.halo = as_size([halo] * 3 if isinstance(halo, int) else halo)
        self.stride = self.output_size if stride is None else as_size(stride)
        self.batch = batch
        if any(s > n for s, n in zip(self.stride, self.output_size)):
            rule = f"a stride beyond the tile leaves gaps, here of {self.output_size} voxels"
            raise bad_input("stride", rule, self.stride, "Write the size of the tile, or less.")

    def starts(self, size: Sequence[int]) -> Starts:
        """Return where the output tiles start along each axis of a volume of ``size``."""
        x, y, z = (starts_by_tile(n, s) for n, s in zip(size, self.stride, strict=True))
        return x, y, z

    def __call__(self, inputs: torch.Tensor, network: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """Return the merged outputs (1, N, X, Y, Z), or a dict of them by head, for ``inputs`` (1, C, X, Y, Z)."""
        size = inputs.shape[-3:]
        starts = self.starts(size)
        overhang = [s[-1] + t - n for s, t, n in zip(starts, self.output_size, size)]
        padded = _pad(inputs, self.halo, [h + max(o, 0) for h, o in zip(self.halo, overhang)], "constant")
        window = as_size(t + 2 * h for t, h in zip(self.output_size, self.halo))
        merge = _Merge(starts, self.output_size)
        merge.run(padded, window, self.batch, network, *args, **kwargs)
        return merge.result((0, 0, 0), size)


class FittedTileInferer(Inferer):
    """:class:`TileInferer` with the tiles that let the network read the fewest voxels of the volume at hand.

    What a tile reads is mostly halo: 132×132×116 voxels for 44×44×28, 24 times as many. Few large tiles, cut to the
    volume, read several times less than the paper's, and give the same but for what the network makes of a tile as a
    whole, as instance normalisation does.

    Args:
        halo: voxels that the network needs more on each side, one number or (X, Y, Z).
        hits: how many tiles answer for a voxel along each axis, (X, Y, Z): (2, 2, 1) are the R = 4 of Roth 2018.
        smallest: edge of the smallest tile that the network returns; the others are longer by multiples of ``divisor``.
        divisor: see ``smallest``; a multiple of all ``hits``, and so is ``smallest``.
        max_read_voxels: of a tile with its halo, which bounds the memory; the smallest tile is taken in any case.
        batch: tiles per call of the network.
    """

    def __init__(
        self,
        halo: int | Sequence[int],
        hits: Sequence[int] = (1, 1, 1),
        smallest: int = 4,
        divisor: int = 8,
        max_read_voxels: int = 9_000_000,
        batch: int = 1,
    ) -> None:
        super().__init__()
        self.halo = as_size([halo] * 3 if isinstance(halo, int) else halo)
        self.hits = as_size(hits)
        if any(smallest % n or divisor % n for n in self.hits):
            raise ValueError(f"smallest and divisor must be multiples of hits, got {smallest}, {divisor}, {self.hits}")
        self.smallest = smallest
        self.divisor = divisor
        self.max_read_voxels = max_read_voxels
        self.batch = batch

    def output_size(self, size: Sequence[int]) -> Size:
        """Return the tile for a volume of ``size``."""
        tiles = [as_size(tile) for tile in product(*(self._edges(n) for n in size))]
        small = [tile for tile in tiles if self._read(tile) <= self.max_read_voxels] or [min(tiles)]
        return min(small, key=partial(self._cost, size))

    def _edges(self, size: int) -> list[int]:
        """Return the edges worth a try along an axis: for each number of tiles the shortest that covers it."""
        counts = range(1, math.ceil(size / self.smallest) + 1)
        steps = {math.ceil(max(size / count - self.smallest, 0) / self.divisor) for count in counts}
        return [self.smallest + self.divisor * step for step in sorted(steps | {0})]

    def _cost(self, size: Sequence[int], tile: Size) -> int:
        """Return how many voxels the network reads to cover a volume."""
        return self._read(tile) * math.prod(math.ceil(n * hits / e) for n, hits, e in zip(size, self.hits, tile))

    def _read(self, tile: Size) -> int:
        """Return how many voxels the network reads for a tile."""
        return math.prod(edge + 2 * halo for edge, halo in zip(tile, self.halo))

    def __call__(self, inputs: torch.Tensor, network: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """Return the merged outputs as :class:`TileInferer` does."""
        tile = self.output_size(inputs.shape[-3:])
        stride = [edge // hits for edge, hits in zip(tile, self.hits)]
        return TileInferer(tile, self.halo, stride, self.batch)(inputs, network, *args, **kwargs)


class _Merge:
    """The mean over all windows, by head, in float32 on the device of the outputs.

    As every window counts alike, the number of hits is a product of one number per axis: no map of it is kept.

    Args:
        starts: of the windows, along each axis.
        output_size: (X, Y, Z) that the network returns for a window.
        voter: head whose windows vote instead of being averaged.
    """

    def __init__(self, starts: Starts, output_size: Size, voter: str | None = None) -> None:
        self.starts = starts
        self.output_size = output_size
        self.voter = voter
        self.sums: dict[str | None, torch.Tensor] = {}

    def run(
        self, padded: torch.Tensor, window: Size, batch: int, network: Callable[..., Any], *args: Any, **kwargs: Any
    ) -> None:
        """Add up the outputs of all windows of ``padded`` (1, C, X, Y, Z)."""
        if len(padded) != 1:
            raise ValueError(f"windows are laid over one volume at a time, got a batch of {len(padded)}")
        padded = padded.as_subclass(torch.Tensor)  # a MetaTensor would copy its meta data for every window
        every = list(product(*self.starts))
        for places in (every[i : i + batch] for i in range(0, len(every), batch)):
            windows = torch.cat([_box(place, window).crop(padded) for place in places])
            for head, values in _by_head(network(windows, *args, **kwargs)):
                self._add(head, values, places)

    def result(self, before: Sequence[int], size: Sequence[int]) -> Any:
        """Return the mean inside the box that starts at ``before``: a tensor, or a dict where there are heads."""
        for values in self.sums.values():
            for axis, (starts, window) in enumerate(zip(self.starts, self.output_size)):
                count = hits(starts, window, values.shape[axis + 2]).to(values.device)
                values /= count.view([-1 if a == axis else 1 for a in range(3)])
        inside = {head: _box(before, size).crop(values) for head, values in self.sums.items()}
        return inside.get(None, inside)

    def _add(self, head: str | None, values: torch.Tensor, places: Sequence[tuple[int, ...]]) -> None:
        if tuple(values.shape[-3:]) != self.output_size:
            raise ValueError(f"the network must return {self.output_size} voxels, got {tuple(values.shape[-3:])}")
        if self.voter is not None and head in (None, self.voter):
            values = values >= 0.5
        if head not in self.sums:
            size = [s[-1] + n for s, n in zip(self.starts, self.output_size)]
            self.sums[head] = torch.zeros(1, values.shape[1], *size, device=values.device)
        for place, value in zip(places, values):
            _box(place, self.output_size).crop(self.sums[head][0]).add_(value)


def _by_head(output: Any) -> Iterator[tuple[str | None, torch.Tensor]]:
    yield from output.items() if isinstance(output, Mapping) else [(None, output)]


def _box(start: Sequence[int], size: Sequence[int]) -> Box:
    return Box(as_size(start), as_size(s + n for s, n in zip(start, size)))


def _pad(volume: torch.Tensor, before: Sequence[int], after: Sequence[int], mode: str) -> torch.Tensor:
    amounts = [n for pair in reversed(list(zip(before, after))) for n in pair]
    return pad(volume, amounts, mode=mode) if any(amounts) else volume


def _check_window(size: int, window: int) -> None:
    if size < window:
        raise ValueError(f"an axis must be padded to at least one window of {window} voxels, got {size}")
