"""Measurements of a segmented gland: size, attenuation, surface, centre-line and position."""

from __future__ import annotations

from bundle.measure.measurements import NAMES, measure

__all__ = ["NAMES", "measure"]
