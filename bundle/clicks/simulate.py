"""A user who clicks into the middle of the largest error, again and again."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

import cc3d
import numpy as np
import torch
from scipy import ndimage

from bundle.clicks.points import Clicks
from bundle.geometry import Size, as_size, tight_box

Correct = Callable[[Clicks], np.ndarray]
"""From all clicks so far to the mask, bool (X, Y, Z); without clicks it is the mask to start from."""


def click_through(
    correct: Correct, truth: np.ndarray, spacing_mm: Sequence[float], count: int
) -> Iterator[tuple[Clicks, np.ndarray]]:
    """Yield clicks and mask before the first click and after each; it ends early when the mask is the truth.

    Args:
        correct: what makes the masks.
        truth: bool (X, Y, Z).
        spacing_mm: (X, Y, Z) of the grid.
        count: of clicks.
    """
    clicks = Clicks()
    mask = correct(clicks)
    yield clicks, mask
    for _ in range(count):
        found = next_click(mask, truth, spacing_mm)
        if found is None:
            return
        clicks = _with(clicks, *found)
        mask = correct(clicks)
        yield clicks, mask


def next_click(mask: np.ndarray, truth: np.ndarray, spacing_mm: Sequence[float]) -> tuple[Size, bool] | None:
    """Return where the user clicks, and whether as foreground; None if the mask is the truth.

    The largest error is the largest 26-connected component of what is missing or of what is too much, its middle the
    voxel that is furthest from what lies outside of it.

    Args:
        mask: bool (X, Y, Z).
        truth: likewise.
        spacing_mm: (X, Y, Z) of the grid.
    """
    wrong = tight_box(torch.from_numpy(mask != truth))
    if wrong is None:
        return None
    mask, truth = mask[wrong.slices], truth[wrong.slices]
    missing, surplus = _largest(truth & ~mask), _largest(mask & ~truth)
    foreground = int(missing.sum()) >= int(surplus.sum())
    middle = _middle(missing if foreground else surplus, spacing_mm)
    return as_size(index + first for index, first in zip(middle, wrong.start)), foreground


def _largest(error: np.ndarray) -> np.ndarray:
    """Return the largest component; of no error nothing."""
    labels = cc3d.connected_components(error.astype(np.uint8), connectivity=26)
    sizes = np.bincount(labels.ravel())
    sizes[0] = 0
    return error & (labels == sizes.argmax())


def _middle(component: np.ndarray, spacing_mm: Sequence[float]) -> Size:
    box = ndimage.find_objects(component.astype(np.uint8))[0]
    # the border of the scan is no border of the error
    inside = np.pad(component[box], 1)
    depth_mm = ndimage.distance_transform_edt(inside, sampling=spacing_mm)
    deepest = np.unravel_index(depth_mm.argmax(), depth_mm.shape)
    return as_size(part.start + index - 1 for part, index in zip(box, deepest))


def _with(clicks: Clicks, voxel: Size, foreground: bool) -> Clicks:
    if foreground:
        return replace(clicks, foreground=(*clicks.foreground, voxel))
    return replace(clicks, background=(*clicks.background, voxel))
