"""The region that a perfect localizer would give, so that errors of refinement are seen apart from those of search."""

from __future__ import annotations

from collections.abc import Callable

from monai.data import MetaTensor

from bundle.cascade.region import Localization, Region
from bundle.cascade.stage import Stage
from bundle.preprocess import grid_of, resample


class TrueRegion:
    """Apply a cascade's own region rule to the truth instead of the localizer's probabilities.

    Args:
        region_rule: the rule of the cascade that is evaluated, for example :class:`~bundle.cascade.region.BoxRule`.
        value: label value of the organ.
        stage: the localizer's stage, on whose grid the rule looks; None is the scan's own grid.
    """

    def __init__(
        self,
        region_rule: Callable[[Localization], list[Region]],
        value: int = 1,
        stage: Stage | None = None,
    ) -> None:
        self.region_rule = region_rule
        self.value = value
        self.stage = stage

    def __call__(self, label: MetaTensor) -> list[Region]:
        """Return the regions for ``label`` (1, X, Y, Z), in voxels of its grid; none if the organ isn't in it."""
        scan_grid = grid_of(label)
        organ = label.as_tensor() == self.value
        if not organ.any():
            return []
        grid = scan_grid if self.stage is None else self.stage.grid(scan_grid)
        return self.region_rule(Localization(resample(organ, grid.size), grid, scan_grid))
