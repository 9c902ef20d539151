"""Which measurements a segmented pancreas of an adult can have."""

from __future__ import annotations

from collections.abc import Mapping

PLAUSIBLE = {
    "volume_ml": (15.0, 250.0),
    "mean_hu": (-60.0, 180.0),
    "sd_hu": (5.0, 80.0),
    "fat_fraction": (0.0, 0.8),
    "fat_fraction_undilated": (0.0, 0.7),
    "surface_lobularity_mm": (0.05, 1.0),
    "length_mm": (80.0, 320.0),
    "mean_calibre_mm": (10.0, 40.0),
    "max_calibre_mm": (15.0, 80.0),
}
"""Range, both ends included, that holds healthy and most diseased glands; docs/measurements.md says from where."""


def implausible(measurements: Mapping[str, float | None]) -> list[str]:
    """Return the names of the measurements out of :data:`PLAUSIBLE`; what is missing or None is not looked at."""
    values = ((name, measurements.get(name), low, high) for name, (low, high) in PLAUSIBLE.items())
    return [name for name, value, low, high in values if value is not None and not low <= value <= high]
