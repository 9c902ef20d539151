"""Rendered scans harder than the usual ones: thickness, noise, blur and how far the body is deformed, in two steps."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from bundle.rendering.dataset import ScanOrder, plan_scans
from bundle.rendering.scanner import ScannerSettings


@dataclass(frozen=True)
class Grade:
    """One step of difficulty.

    Args:
        name: of the step.
        settings: the scanner's.
        deformation: strength of the random deformation, 1 being the usual one.
        gland_share: share of bodies that get another patient's pancreas.
    """

    name: str
    settings: ScannerSettings
    deformation: float
    gland_share: float


_BASE = ScannerSettings(in_plane_spacing_mm=(1.0, 1.4))

GRADES = (
    Grade(
        "moderate",
        replace(_BASE, slice_thickness_mm=(2.0, 4.0), noise_hu=(10.0, 22.0), blur_mm=(0.6, 0.9)),
        deformation=1.2,
        gland_share=0.6,
    ),
    Grade(
        "hard",
        replace(
            _BASE,
            slice_thickness_mm=(4.0, 5.0),
            noise_hu=(27.0, 55.0),
            blur_mm=(0.8, 1.3),
            share_slab=0.3,
            share_starvation=0.5,
            share_metal=0.1,
            share_motion=0.15,
        ),
        deformation=1.5,
        gland_share=0.8,
    ),
)
"""Both harder than the scans that `bundle render` draws; those are the easy end.

Contrast phase, fat between the lobules, volume of the gland, tumours and all else of a patient are drawn alike.
"""


def plan_grades(
    count: int,
    seed: int,
    section: str,
    anatomies: Sequence[Path],
    glands: Sequence[Path],
    grades: Sequence[Grade] = GRADES,
) -> list[ScanOrder]:
    """Return ``count`` scans of each grade; grade i draws from seed ``seed + 10 i``.

    Args:
        count: scans per grade; the first ones are the same whatever it is.
        seed: of the easier grade; a set of another seed shares nothing.
        section: ``validation`` or ``test``.
        anatomies: bodies to draw from.
        glands: maps whose pancreas is transplanted; whole bodies will do.
    """
    orders: list[ScanOrder] = []
    for step, grade in enumerate(grades):
        orders += plan_scans(
            count,
            seed + 10 * step,
            section,
            anatomies,
            procedural_share=0.0,
            settings=grade.settings,
            glands=glands,
            gland_share=grade.gland_share,
            deformation=grade.deformation,
        )
    return orders
