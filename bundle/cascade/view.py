"""Whether the part of the body that holds the pancreas is in the scan, by the organs around it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from bundle.cascade.organs import Organ


class FieldOfView:
    """A scan shows the pancreas's place if it shows enough of each group of organs.

    Args:
        groups: ``organs`` (names) and ``min_volume_ml``, what they have together at least.
    """

    def __init__(self, groups: Sequence[Mapping[str, Any]]) -> None:
        self.groups = [(tuple(group["organs"]), float(group["min_volume_ml"])) for group in groups]

    def missing(self, organs: Mapping[str, Organ]) -> str:
        """Return what isn't there, in words; nothing if the place is in view."""
        for names, needed_ml in self.groups:
            seen_ml = sum(organs[name].volume_ml for name in names if name in organs)
            if seen_ml < needed_ml:
                words = ", ".join(name.replace("_", " ") for name in names)
                return (
                    f"the scan does not show the place of the pancreas: {seen_ml:.0f} ml of {words}, "
                    f"{needed_ml:g} ml are needed"
                )
        return ""
