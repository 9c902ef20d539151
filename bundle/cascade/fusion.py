"""Segment → paste back: how the predictions of the regions, and the localizer's own, become one answer."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce

import cc3d
import numpy as np
import torch
from scipy import ndimage

from bundle.cascade.region import Localization, Region, at_voxels
from bundle.geometry import Box
from bundle.preprocess.resample import resample


@dataclass(frozen=True)
class RegionPrediction:
    """Probabilities (K, X, Y, Z) of the region's box, on the scan's own grid."""

    region: Region
    probability: torch.Tensor


class Fusion(ABC):
    """From the predictions of the regions to the probabilities of the box that holds them all."""

    def __call__(
        self, predictions: Sequence[RegionPrediction], localization: Localization | None
    ) -> tuple[Box, torch.Tensor]:
        """Return the common box, in voxels of the scan's grid, and its probabilities (K, X, Y, Z).

        Voxels outside a region's box or mask are background to it; those outside the common box are background to all.
        """
        box = reduce(Box.union, (prediction.region.box for prediction in predictions))
        return box, self._fuse([_paste(p, box) for p in predictions], box, localization)

    @abstractmethod
    def _fuse(self, opinions: list[torch.Tensor], box: Box, localization: Localization | None) -> torch.Tensor:
        """Return the probabilities of ``box`` from one opinion (K, X, Y, Z) per region."""


class Replace(Fusion):
    """The segmenter has the last word: the largest probability of all regions."""

    def _fuse(self, opinions: list[torch.Tensor], box: Box, localization: Localization | None) -> torch.Tensor:
        return reduce(torch.maximum, opinions)


class ReplaceNear(Replace):
    """As :class:`Replace`, without parts of the mask that lie far from all that the localizer calls the organ.

    Within a region, the segmenter may take something else for the organ that the localizer, which sees the whole body,
    doesn't. A part is a 26-connected component of the mask; one that comes within the distance stays as a whole, so
    that the organ may reach beyond what the localizer saw. Without a localizer, or where it calls nothing the organ,
    all parts stay; where all parts are far, none does. No paper's rule, but ours: docs/results.md has what it brings.

    Args:
        distance_mm: beyond which a part is far, from voxel centre to voxel centre of the localizer's grid.
        threshold: least probability of the mask, and of what the localizer calls the organ.
    """

    def __init__(self, distance_mm: float = 20.0, threshold: float = 0.5) -> None:
        self.distance_mm = distance_mm
        self.threshold = threshold

    def _fuse(self, opinions: list[torch.Tensor], box: Box, localization: Localization | None) -> torch.Tensor:
        probability = super()._fuse(opinions, box, localization)
        near = None if localization is None else self._near(localization, box)
        if near is None:
            return probability
        mask = probability.amax(dim=0) >= self.threshold
        return probability.masked_fill(_far_parts(mask, near).to(probability.device), 0)

    def _near(self, localization: Localization, box: Box) -> np.ndarray | None:
        """Return which voxels (X, Y, Z) of ``box`` are near; None if nothing is the organ."""
        grid = localization.grid
        organ = (localization.probability.amax(dim=0) >= self.threshold).cpu().numpy()
        if not organ.any():
            return None
        near = ndimage.distance_transform_edt(~organ, sampling=grid.spacing_mm) <= self.distance_mm
        return at_voxels(torch.from_numpy(near), grid.box, grid, box, localization.scan_grid).numpy()


class Vote(Fusion):
    """Foreground where enough voters say so: one voter per region and, if asked, the localizer.

    The result is 1 where at least ``need`` voters reach ``threshold``, else 0 (Zhao 2019, sec. 2.2, "majority voting":
    2 of 3).

    Args:
        need: votes needed.
        with_localizer: whether the localizer, linearly upsampled, is a voter.
        threshold: least probability of a vote.
    """

    def __init__(self, need: int = 2, with_localizer: bool = True, threshold: float = 0.5) -> None:
        self.need = need
        self.with_localizer = with_localizer
        self.threshold = threshold

    def _fuse(self, opinions: list[torch.Tensor], box: Box, localization: Localization | None) -> torch.Tensor:
        if self.with_localizer and localization is not None:
            opinions = [*opinions, box.crop(localization.on_scan())]
        votes = sum((opinion >= self.threshold).to(torch.uint8) for opinion in opinions)
        return torch.as_tensor(votes >= self.need).to(torch.float32)


def on_scan_grid(probability: torch.Tensor, region: Region) -> RegionPrediction:
    """Return a stage's probabilities (K, X, Y, Z) of a region on the scan's own grid, zero outside the mask."""
    probability = resample(probability, region.box.size)
    if region.mask is not None:
        probability = probability * region.mask.to(probability.device)
    return RegionPrediction(region, probability)


def _far_parts(mask: torch.Tensor, near: np.ndarray) -> torch.Tensor:
    """Return the voxels (X, Y, Z) of the components of ``mask`` that no voxel of ``near`` belongs to."""
    parts = cc3d.connected_components(mask.cpu().numpy().astype(np.uint8), connectivity=26)
    stays = np.zeros(int(parts.max()) + 1, dtype=bool)
    stays[parts[near]] = True
    stays[0] = True
    return torch.from_numpy(~stays[parts])


def _paste(prediction: RegionPrediction, box: Box) -> torch.Tensor:
    """Return the prediction within ``box``, zero around its own box."""
    if prediction.region.box == box:
        return prediction.probability
    result = prediction.probability.new_zeros(prediction.probability.shape[0], *box.size)
    prediction.region.box.relative_to(box).crop(result)[...] = prediction.probability
    return result
