"""What a scanner may do: ranges and probabilities to draw from."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from bundle.errors import bad_input

_OPPOSITE = str.maketrans("LPI", "RAS")


@dataclass(frozen=True)
class ScannerSettings:
    """What a scan is drawn from; a pair is a range (low, high), a ``share`` a probability.

    Args:
        in_plane_spacing_mm: pixel edge; drawn, then raised within the range where ``max_matrix`` would be exceeded.
        slice_thickness_mm: thickness over which a slice averages.
        max_matrix: largest number of rows and columns; the field of view is cut to it.
        share_overlapping: slices closer than they are thick.
        share_slab: thin slab across the pancreas, ``slab_mm`` long, rather than the abdomen.
        slab_gland_share: of the gland that a slab holds at least, as far as it is long enough.
        share_without_pancreas: scan cut above or below the gland, ``gap_mm`` away from it.
        share_lateral_crop: field of view narrower than the body.
        noise_hu: standard deviation of the noise in slices of 3 mm, mean over the body; drawn log-uniformly. Thinner
            slices have more, by the square root.
        blur_mm: standard deviation of the in-plane blur on top of the painted grid's own: sharp to soft kernel.
        noise_peak_per_mm: spatial frequency at which the noise power peaks, from soft to sharp kernel.
        offset_hu: largest error of the HU scale, either sign.
        share_starvation: horizontal streaks where the body is widest and densest.
        share_metal: clip, stent or spine screws with star streaks.
        share_motion: in-plane double contours by breathing.
        share_table: patient table below the back.
        share_circle: padding value outside the reconstruction circle.
        orientations: axis codes of the stored array, one is drawn with equal chances.
    """

    in_plane_spacing_mm: tuple[float, float] = (0.6, 0.95)
    slice_thickness_mm: tuple[float, float] = (1.0, 5.0)
    max_matrix: int = 512
    share_overlapping: float = 0.2
    share_slab: float = 0.25
    slab_mm: tuple[float, float] = (30.0, 120.0)
    slab_gland_share: float = 0.15
    share_without_pancreas: float = 0.0
    gap_mm: tuple[float, float] = (8.0, 40.0)
    share_lateral_crop: float = 0.15
    noise_hu: tuple[float, float] = (3.0, 28.0)
    blur_mm: tuple[float, float] = (0.5, 1.0)
    noise_peak_per_mm: tuple[float, float] = (0.14, 0.35)
    offset_hu: float = 4.0
    share_starvation: float = 0.25
    share_metal: float = 0.06
    share_motion: float = 0.05
    share_table: float = 0.85
    share_circle: float = 0.6
    orientations: tuple[str, ...] = ("LPS", "RAS", "LAS")

    def __post_init__(self) -> None:
        for field in fields(self):
            self._check(field.name, getattr(self, field.name))

    def _check(self, name: str, value: Any) -> None:
        if name == "orientations":
            if not value or any(sorted(code.translate(_OPPOSITE)) != ["A", "R", "S"] for code in value):
                raise bad_input(name, "an orientation names three axes", value, 'Give codes such as "LPS".')
        elif isinstance(value, (tuple, list)):  # JSON has lists
            if len(value) != 2 or not 0 < value[0] <= value[1]:
                raise bad_input(name, "a range is (low, high) with 0 < low <= high", value, "Swap or correct it.")
        elif value < 0:
            raise bad_input(name, "it is not negative", value, "Correct it.")
        elif "share" in name and value > 1:
            raise bad_input(name, "a share lies between 0 and 1", value, "Correct it.")


def read_settings(path: Path | None, others: Mapping[str, Any]) -> ScannerSettings:
    """Return the settings of a JSON file, if there is one, and ``others``, fields that it may not name.

    Raises:
        InputError: not a JSON object, a field that is unknown or among ``others``, or a value that is impossible.
    """
    if path is None:
        return ScannerSettings(**others)
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise bad_input(path, "scanner settings are a JSON file", error, "Correct it.") from None
    if not isinstance(content, dict):
        raise bad_input(path, "scanner settings are a JSON object", type(content).__name__, "Write {...}.")
    known = {field.name for field in fields(ScannerSettings)} - others.keys()
    for name in content.keys() - known:
        raise bad_input(path, f"a setting is one of {', '.join(sorted(known))}", repr(name), "Correct the name.")
    try:
        return ScannerSettings(**{name: _as_tuple(value) for name, value in content.items()}, **others)
    except TypeError as error:
        raise bad_input(path, "a range is two numbers, a share one", error, "Correct the value.") from None


def _as_tuple(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value
