"""Foreground and background clicks: voxels that belong to the organ, and voxels that do not."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from bundle.errors import bad_input
from bundle.geometry import Size, as_size

FOREGROUND, BACKGROUND = KINDS = ("foreground", "background")


@dataclass(frozen=True)
class Clicks:
    """Voxels of one grid, by index (X, Y, Z) counted from 0.

    Args:
        foreground: voxels of the organ that the mask should have.
        background: voxels that it should not have.
    """

    foreground: tuple[Size, ...] = ()
    background: tuple[Size, ...] = ()

    def __len__(self) -> int:
        return len(self.foreground) + len(self.background)


def read_clicks(given: Mapping[Any, Any], size: Size, source: Any = "clicks") -> Clicks:
    """Return the clicks under ``foreground`` and ``background``, lists of (x, y, z) in voxels; none if there are none.

    Positions between voxels, as a viewer may send them, go to the nearest voxel.

    Args:
        given: what holds the lists; a missing one, None and an empty one mean no clicks.
        size: of the grid that the voxels belong to.
        source: what the error names.

    Raises:
        InputError: not three finite numbers, outside the grid, or both foreground and background.
    """
    foreground, background = (_voxels(given.get(kind), kind, size, source) for kind in KINDS)
    both = sorted(set(foreground) & set(background))
    if both:
        rule = "a voxel is clicked as foreground or as background"
        raise bad_input(_name(source, "click", both[0]), rule, "both", "Take one of the two clicks back.")
    return Clicks(foreground, background)


def parse_click(text: str) -> list[float]:
    """Return the click that the command line gives as ``x,y,z``.

    Raises:
        InputError: it is not three numbers.
    """
    try:
        x, y, z = (float(number) for number in text.split(","))
    except ValueError as error:
        remedy = "Write a click as 120,80,33, without spaces."
        raise bad_input("click", "a click is three numbers, the voxel x,y,z", repr(text), remedy) from error
    return [x, y, z]


def voxels_to_mm(voxels: Sequence[Sequence[float]], affine: np.ndarray) -> list[list[float]]:
    """Return voxel indices (N, 3) as positions in mm, by the affine (4, 4) of their grid."""
    matrix = np.asarray(affine, dtype=float)
    return [(matrix[:3, :3] @ np.asarray(voxel, dtype=float) + matrix[:3, 3]).tolist() for voxel in voxels]


def mm_to_voxels(points_mm: Sequence[Sequence[float]], affine: np.ndarray) -> list[list[float]]:
    """Return positions (N, 3) in mm as voxel indices, with fractions, by the affine (4, 4) of the grid."""
    return voxels_to_mm(points_mm, np.linalg.inv(np.asarray(affine, dtype=float)))


def _voxels(points: Any, kind: str, size: Size, source: Any) -> tuple[Size, ...]:
    """Return the voxels of one kind, each once, in the order of the clicks."""
    if points is None:
        return ()
    if not isinstance(points, (list, tuple, np.ndarray)):
        rule = "clicks are a list of (x, y, z)"
        raise bad_input(f"{source}: {kind}", rule, repr(points), "Give a list of voxel indices.")
    return tuple(dict.fromkeys(_voxel(point, kind, size, source) for point in points))


def _voxel(point: Any, kind: str, size: Size, source: Any) -> Size:
    try:
        position = np.asarray(point, dtype=float)
    except (TypeError, ValueError):
        position = np.empty(0)
    if position.shape != (3,) or not np.isfinite(position).all():
        rule = "a click is three numbers, the voxel (x, y, z)"
        raise bad_input(f"{source}: {kind} click", rule, repr(point), "Correct the click.")
    voxel = as_size(np.floor(position + 0.5))
    if any(not 0 <= index < n for index, n in zip(voxel, size)):
        rule = f"a click lies in the scan, of {size[0]} x {size[1]} x {size[2]} voxels counted from 0"
        raise bad_input(_name(source, f"{kind} click", voxel), rule, voxel, "Click inside the scan.")
    return voxel


def _name(source: Any, what: str, voxel: Size) -> str:
    return f"{source}: {what} {voxel}"
