"""What is tried where the localizer finds nothing, before the scan counts as one without the organ."""

from __future__ import annotations

from collections.abc import Callable

from bundle.cascade.region import Localization, Region


class Fallback:
    """Other regions to segment, and how much the segmenter must find in them, unconfirmed by the localizer.

    Args:
        region_rule: the localizer's answer to regions; none where this can't help either.
        name: what is done, in words for the report.
        min_volume_ml: a mask of no more than this volume doesn't count.
    """

    def __init__(
        self, region_rule: Callable[[Localization], list[Region]], name: str, min_volume_ml: float = 0.0
    ) -> None:
        self.region_rule = region_rule
        self.name = name
        self.min_volume_ml = min_volume_ml
