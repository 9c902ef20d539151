"""Whether the part of the body that holds the pancreas is in the scan, by the organs around it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from bundle.cascade.organs import Organ


class FieldOfView:
    """A scan plainly shows the pancreas's place if it shows enough of each group of organs.

    Slabs through the gland often don't, though they show it. So a scan is given up only where it shows next to nothing
    of all groups; between the two, what the stages find decides.

    Args:
        groups: ``organs`` (names) and ``min_volume_ml``, what they have together at least.
        min_total_ml: of the organs of all groups together; with less, the organ isn't looked for.
    """

    def __init__(self, groups: Sequence[Mapping[str, Any]], min_total_ml: float = 0.0) -> None:
        self.groups = [(tuple(group["organs"]), float(group["min_volume_ml"])) for group in groups]
        self.min_total_ml = min_total_ml

    def missing(self, organs: Mapping[str, Organ]) -> str:
        """Return what isn't there, in words; nothing if the place is in view."""
        for names, needed_ml in self.groups:
            seen_ml = _volume_ml(organs, names)
            if seen_ml < needed_ml:
                words = ", ".join(name.replace("_", " ") for name in names)
                return (
                    f"the scan does not show the place of the pancreas: {seen_ml:.0f} ml of {words}, "
                    f"{needed_ml:g} ml are needed"
                )
        return ""

    def is_far(self, organs: Mapping[str, Organ]) -> bool:
        """Return whether the scan shows so little of all groups that the organ cannot be in it."""
        return _volume_ml(organs, (name for names, _ in self.groups for name in names)) < self.min_total_ml


def _volume_ml(organs: Mapping[str, Organ], names: Iterable[str]) -> float:
    return sum(organs[name].volume_ml for name in names if name in organs)
