"""Clicks of a user, and masks corrected by them."""

from __future__ import annotations

from bundle.clicks.geodesic import GeodesicRefinement
from bundle.clicks.points import Clicks, mm_to_voxels, parse_click, read_clicks, voxels_to_mm
from bundle.clicks.transforms import KeepProbabilityForClicksd, PlaceClicksd, RefineWithClicksd

__all__ = [
    "Clicks",
    "GeodesicRefinement",
    "KeepProbabilityForClicksd",
    "PlaceClicksd",
    "RefineWithClicksd",
    "mm_to_voxels",
    "parse_click",
    "read_clicks",
    "voxels_to_mm",
]
