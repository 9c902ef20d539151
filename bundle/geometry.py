"""Boxes of voxels, and the grids they live on."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import torch

Size = tuple[int, int, int]


@dataclass(frozen=True)
class Grid:
    """A regular voxel grid over a fixed piece of the patient: its size and the edge lengths of a voxel, (X, Y, Z).

    Two grids over the same piece differ only in size; their outer voxel edges coincide, so that index ``i`` of an axis
    with ``n`` voxels lies at the share ``i / n`` of the axis in both (voxel edges, not centres, are aligned).
    """

    size: Size
    spacing_mm: tuple[float, float, float]

    def resampled(self, spacing_mm: Sequence[float]) -> Grid:
        """Return the grid over the same piece whose spacing is nearest to ``spacing_mm``, with at least one voxel."""
        size = as_size(max(1, round(n * old / new)) for n, old, new in zip(self.size, self.spacing_mm, spacing_mm))
        return self.with_size(size)

    def with_size(self, size: Size) -> Grid:
        """Return the grid of ``size`` voxels over the same piece."""
        x, y, z = (n * s / m for n, s, m in zip(self.size, self.spacing_mm, size))
        return Grid(size, (x, y, z))

    def crop(self, box: Box) -> Grid:
        """Return the grid over the part inside ``box``."""
        return Grid(box.size, self.spacing_mm)

    @property
    def voxel_ml(self) -> float:
        """Volume of one voxel in millilitres."""
        return math.prod(self.spacing_mm) / 1000

    @property
    def box(self) -> Box:
        """The box that holds every voxel."""
        return Box((0, 0, 0), self.size)


@dataclass(frozen=True)
class Box:
    """Half-open voxel intervals ``[start, stop)`` along X, Y and Z of one grid, which the user of the box names."""

    start: Size
    stop: Size

    @property
    def size(self) -> Size:
        """Voxels along each axis; 0 or less where the box is empty."""
        return as_size(b - a for a, b in zip(self.start, self.stop))

    @property
    def slices(self) -> tuple[slice, slice, slice]:
        """Index of the box in the last three axes of an array."""
        x, y, z = (slice(a, b) for a, b in zip(self.start, self.stop))
        return x, y, z

    @property
    def is_empty(self) -> bool:
        """Whether the box holds no voxel."""
        return min(self.size) <= 0

    def clip(self, size: Size) -> Box:
        """Return the part of the box inside a grid of ``size`` voxels."""
        return Box(
            as_size(min(max(a, 0), n) for a, n in zip(self.start, size)),
            as_size(min(max(b, 0), n) for b, n in zip(self.stop, size)),
        )

    def grow(self, margin: Sequence[int]) -> Box:
        """Return the box with ``margin`` voxels more on both sides of each axis."""
        return Box(
            as_size(a - m for a, m in zip(self.start, margin)), as_size(b + m for b, m in zip(self.stop, margin))
        )

    def at_least(self, size: Sequence[int]) -> Box:
        """Return the box grown about its middle to no fewer than ``size`` voxels."""
        return self._about_middle(as_size(max(n, m) for n, m in zip(self.size, size)))

    def with_size(self, size: Sequence[int]) -> Box:
        """Return the box of exactly ``size`` voxels about the middle of this one."""
        return self._about_middle(as_size(size))

    def shift_inside(self, size: Size) -> Box:
        """Return the box moved, not cut, into a grid of ``size``; an axis longer than that becomes the whole axis."""
        lengths = [min(length, n) for length, n in zip(self.size, size)]
        start = as_size(min(max(a, 0), n - length) for a, n, length in zip(self.start, size, lengths))
        return Box(start, as_size(a + length for a, length in zip(start, lengths)))

    def union(self, other: Box) -> Box:
        """Return the smallest box that holds both."""
        return Box(
            as_size(min(a, b) for a, b in zip(self.start, other.start)),
            as_size(max(a, b) for a, b in zip(self.stop, other.stop)),
        )

    def relative_to(self, origin: Box) -> Box:
        """Return the same voxels, counted from the start of ``origin``."""
        return Box(
            as_size(a - o for a, o in zip(self.start, origin.start)),
            as_size(b - o for b, o in zip(self.stop, origin.start)),
        )

    def on(self, source: Grid, target: Grid) -> Box:
        """Return the smallest box of ``target`` that covers this box of ``source``, a grid over the same piece."""
        return Box(
            as_size(a * m // n for a, n, m in zip(self.start, source.size, target.size)),
            as_size(-(-b * m // n) for b, n, m in zip(self.stop, source.size, target.size)),
        )

    def crop(self, volume: torch.Tensor) -> torch.Tensor:
        """Return the view of ``volume`` (..., X, Y, Z) inside the box."""
        return volume[(..., *self.slices)]

    def as_dict(self) -> dict[str, list[int]]:
        """Return the box as plain lists, for reports."""
        return {"start": list(self.start), "stop": list(self.stop)}

    def _about_middle(self, size: Size) -> Box:
        start = as_size((a + b - n) // 2 for a, b, n in zip(self.start, self.stop, size))
        return Box(start, as_size(a + n for a, n in zip(start, size)))


def tight_box(mask: torch.Tensor) -> Box | None:
    """Return the smallest box that holds every voxel of ``mask`` (X, Y, Z) but the zeros, or None if there is none."""
    if not mask.numel():
        return None
    # The largest of bytes is found several times as fast as any of booleans.
    hits = (mask if mask.dtype == torch.bool else mask != 0).view(torch.uint8)
    along_xy, along_yz = hits.amax(2), hits.amax(0)
    start, stop = [], []
    for line in (along_xy.amax(1), along_xy.amax(0), along_yz.amax(0)):
        found = line.nonzero()
        if not len(found):
            return None
        start.append(int(found[0]))
        stop.append(int(found[-1]) + 1)
    return Box(as_size(start), as_size(stop))


def as_size(values: Iterable[int]) -> Size:
    """Return three integers as a tuple."""
    x, y, z = (int(v) for v in values)
    return x, y, z


def spacing_of(affine: np.ndarray | torch.Tensor) -> tuple[float, float, float]:
    """Return the edge lengths of a voxel along (X, Y, Z) in mm, from the (4, 4) matrix of voxel to mm."""
    x, y, z = (float(length) for length in np.linalg.norm(np.asarray(affine, dtype=float)[:3, :3], axis=0))
    return x, y, z
