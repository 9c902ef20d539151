"""What else the localizer sees: the neighbouring organs, which tell where in the body a scan lies."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch

from bundle.geometry import Grid


@dataclass(frozen=True)
class Organ:
    """One organ as the localizer sees it.

    Attributes:
        volume_ml: of what lies in the scan.
        centre_mm: centre of gravity in mm from the scan's corner, along (X, Y, Z) of its RAS order: to the right, to
            the front, to the head.
        median_hu: of its voxels.
    """

    volume_ml: float
    centre_mm: tuple[float, float, float]
    median_hu: float

    def as_dict(self) -> dict[str, Any]:
        """Return what JSON can hold, rounded to what such numbers are worth."""
        centre_mm = [round(place, 1) for place in self.centre_mm]
        return {"volume_ml": round(self.volume_ml, 2), "centre_mm": centre_mm, "median_hu": round(self.median_hu, 1)}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Organ:
        """Return the organ that :meth:`as_dict` told about."""
        x, y, z = values["centre_mm"]
        return cls(values["volume_ml"], (x, y, z), values["median_hu"])


def see_organs(
    probability: torch.Tensor, image_hu: torch.Tensor, grid: Grid, channels: Mapping[str, int]
) -> dict[str, Organ]:
    """Return the organs that have a voxel at least, by name.

    Args:
        probability: (C, X, Y, Z) of all classes on ``grid``; a voxel belongs to the likeliest.
        image_hu: (1, X, Y, Z) on ``grid``.
        grid: over the whole scan.
        channels: of the organs in ``probability``.
    """
    label, image = probability.argmax(dim=0), image_hu[0]
    organs = {}
    for name, channel in channels.items():
        inside = label == channel
        voxels = inside.nonzero()
        if len(voxels):
            centre = (voxels.double().mean(dim=0) + 0.5).tolist()
            x, y, z = (place * spacing_mm for place, spacing_mm in zip(centre, grid.spacing_mm))
            organs[name] = Organ(len(voxels) * grid.voxel_ml, (x, y, z), float(image[inside].median()))
    return organs
