"""A mask corrected by clicks: the network's logits are shifted around each click, as far as the tissue looks alike."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import cc3d
import numpy as np
from scipy import ndimage
from skimage.graph import MCP_Geometric

from bundle.clicks.points import Clicks
from bundle.geometry import Box, Size, as_size

LEAST_PROBABILITY = 1e-3
CLIPPED_HU = (-160.0, 340.0)
SMOOTHING_MM = 1.0
LOOK_MM = 2.0


class _Push(NamedTuple):
    """What one click does to the voxels of a box.

    Args:
        box: of the scan's grid.
        nearness: (X, Y, Z), 1 at the click, 0 from its reach on.
        logits: by how much the logit at the click is shifted.
    """

    box: Box
    nearness: np.ndarray
    logits: float


@dataclass(frozen=True)
class GeodesicRefinement:
    r"""Shift the network's logits around clicks: no second network, and no memory of earlier clicks.

    A click in the middle of an error says two things: the organ's border is on the wrong side of it, and about as far
    beyond it as before it. So the logit there, l, is shifted by ``gain`` |l| + ``margin`` towards what the click says,
    and that of a voxel at geodesic distance d by the share (1 - (d / r)²)² of it. Distances are geodesic as in
    DeepIGeoS (Wang 2018, https://arxiv.org/abs/1707.00652, eq. 1), but compare with the tissue at the click instead of
    with the neighbouring voxel: a millimetre through HU that differ by c from those at the click costs
    1 + ``contrast`` c / 100. MIDeepSeg (Luo 2021, https://arxiv.org/abs/2104.12166) fuses probabilities with clicks by
    such distances, too; the shift of logits is ours. Where foreground and background clicks meet, each counts by the
    share of the other's distance, so that both are obeyed.

    Args:
        least_reach_mm: r, the distance from which on a click changes nothing, where it is next to the mask's border.
        reach_by_depth: what r grows by with each mm between click and border: a click deep in an error corrects more.
        most_reach_mm: largest r, so that nothing changes further away than this.
        gain: see above.
        margin: see above.
        contrast: what 100 HU cost.
    """

    least_reach_mm: float = 12.0
    reach_by_depth: float = 2.0
    most_reach_mm: float = 30.0
    gain: float = 2.0
    margin: float = 1.0
    contrast: float = 4.0

    def __call__(
        self,
        probability: np.ndarray,
        mask: np.ndarray,
        image_hu: np.ndarray,
        spacing_mm: Sequence[float],
        clicks: Clicks,
        threshold: float = 0.5,
    ) -> np.ndarray:
        """Return the corrected mask, bool (X, Y, Z).

        Every foreground click is in it, no background click is, and nothing changes further than ``most_reach_mm`` from
        all clicks. Without clicks it is ``mask``.

        Args:
            probability: (X, Y, Z) of the organ.
            mask: bool (X, Y, Z), made from it; where it says otherwise (small components dropped), it counts.
            image_hu: (X, Y, Z) Hounsfield units on the same grid.
            spacing_mm: (X, Y, Z) of the grid.
            clicks: in voxels of the grid.
            threshold: least probability of the organ.
        """
        result = mask.copy()
        if not len(clicks):
            return result
        scan = _Scan(probability, mask, image_hu, tuple(spacing_mm), threshold)
        foreground = [self._push(scan, click, True) for click in clicks.foreground]
        background = [self._push(scan, click, False) for click in clicks.background]
        box = _union([push.box for push in (*foreground, *background)])
        shifted = scan.logits(box) + _shift(foreground, background, box)
        result[box.slices] = _connected(shifted >= 0, mask[box.slices], clicks.foreground, box)
        return result

    def _push(self, scan: _Scan, click: Size, foreground: bool) -> _Push:
        logit = scan.logit_at(click) * (1 if foreground else -1)
        wrong = logit < 0
        depth_mm = scan.depth_mm(click, self.most_reach_mm) if wrong else 0.0
        reach_mm = min(self.most_reach_mm, self.least_reach_mm + self.reach_by_depth * depth_mm)
        box = scan.around(click, reach_mm)
        distance_mm = scan.geodesic_mm(click, box, reach_mm, self.contrast)
        nearness = np.clip(1 - (distance_mm / reach_mm) ** 2, 0, None) ** 2
        return _Push(box, nearness.astype(np.float32), self.margin + self.gain * max(-logit, 0.0))


class _Scan:
    """A scan, and what the network says of it as logits, of which only the parts around clicks are ever computed.

    A logit is 0 at the threshold. The mask has the last word on its sign.
    """

    def __init__(
        self,
        probability: np.ndarray,
        mask: np.ndarray,
        image_hu: np.ndarray,
        spacing_mm: tuple[float, ...],
        threshold: float,
    ) -> None:
        self.probability = probability
        self.mask = mask
        self.image_hu = image_hu
        self.spacing_mm = spacing_mm
        self.threshold = threshold

    def around(self, click: Size, reach_mm: float) -> Box:
        """Return the box of what lies within ``reach_mm`` of a voxel."""
        one = Box(click, as_size(index + 1 for index in click))
        return one.grow([int(np.ceil(reach_mm / s)) for s in self.spacing_mm]).clip(as_size(self.mask.shape))

    def logits(self, box: Box) -> np.ndarray:
        """Return the logits (X, Y, Z) of a box."""
        p = self.probability[box.slices].astype(np.float32)
        p = np.clip(p, LEAST_PROBABILITY, 1 - LEAST_PROBABILITY)
        logits = np.log(p / (1 - p)) - np.float32(np.log(self.threshold / (1 - self.threshold)))
        return np.where(self.mask[box.slices], np.maximum(logits, 0), np.minimum(logits, -1e-4))

    def logit_at(self, click: Size) -> float:
        """Return the logit of a voxel."""
        return float(self.logits(self.around(click, 0)).item())

    def depth_mm(self, click: Size, most_mm: float) -> float:
        """Return how far the nearest voxel is that the mask has otherwise than this one, ``most_mm`` at most."""
        box = self.around(click, most_mm)
        others = np.argwhere(self.mask[box.slices] != self.mask[click]) + box.start - np.array(click)
        if not len(others):
            return most_mm
        return min(most_mm, float(np.sqrt(((others * self.spacing_mm) ** 2).sum(axis=1).min())))

    def _straight_mm(self, click: Size, box: Box) -> np.ndarray:
        """Return how far the voxels (X, Y, Z) of the box are from the click as the crow flies."""
        axes = [(np.arange(a, b) - c) * s for a, b, c, s in zip(box.start, box.stop, click, self.spacing_mm)]
        x, y, z = np.ix_(*axes)
        return np.sqrt(x**2 + y**2 + z**2)

    def geodesic_mm(self, click: Size, box: Box, most_mm: float, contrast: float) -> np.ndarray:
        """Return the geodesic distance of each voxel of the box from the click; infinite beyond ``most_mm``."""
        sigma = [SMOOTHING_MM / s for s in self.spacing_mm]
        image_hu = ndimage.gaussian_filter(np.clip(self.image_hu[box.slices], *CLIPPED_HU).astype(np.float32), sigma)
        look = self.around(click, LOOK_MM).relative_to(box)
        unlike = np.abs(image_hu - np.median(image_hu[look.slices])) / 100
        cost = 1 + contrast * unlike
        cost[self._straight_mm(click, box) > most_mm] = np.inf
        start = [index - first for index, first in zip(click, box.start)]
        distance_mm, _ = MCP_Geometric(cost, sampling=self.spacing_mm).find_costs([start])
        return distance_mm


def _shift(foreground: Sequence[_Push], background: Sequence[_Push], box: Box) -> np.ndarray:
    """Return by how much the logits (X, Y, Z) of the box change."""
    near_f, up = _strongest(foreground, box)
    near_b, down = _strongest(background, box)
    far_f, far_b = 1 - near_f, 1 - near_b
    # at a click of one kind the other kind has no say; where one kind alone is near, the other changes nothing
    return (far_b * up - far_f * down) / np.maximum(far_f, far_b)


def _strongest(pushes: Sequence[_Push], box: Box) -> tuple[np.ndarray, np.ndarray]:
    """Return the largest nearness and the largest shift of clicks of one kind at each voxel (X, Y, Z) of the box."""
    nearness, logits = np.zeros(box.size, np.float32), np.zeros(box.size, np.float32)
    for push in pushes:
        part = push.box.relative_to(box).slices
        nearness[part] = np.maximum(nearness[part], push.nearness)
        logits[part] = np.maximum(logits[part], push.nearness * push.logits)
    return nearness, logits


def _connected(mask: np.ndarray, before: np.ndarray, clicks: Sequence[Size], box: Box) -> np.ndarray:
    """Return the mask (X, Y, Z) without new pieces that neither a click nor the mask of before is part of."""
    pieces = cc3d.connected_components(mask.astype(np.uint8), connectivity=26)
    kept = pieces[before & mask]
    clicked = [pieces[tuple(index - first for index, first in zip(click, box.start))] for click in clicks]
    wanted = np.zeros(pieces.max() + 1, dtype=bool)
    wanted[kept] = wanted[clicked] = True
    wanted[0] = False
    return wanted[pieces]


def _union(boxes: Sequence[Box]) -> Box:
    result = boxes[0]
    for box in boxes[1:]:
        result = result.union(box)
    return result
