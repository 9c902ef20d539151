"""Paint an anatomy: Hounsfield units for one patient in one contrast phase, and the label map that goes with them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from bundle.errors import bad_input
from bundle.rendering.anatomy import Anatomy
from bundle.rendering.contents import paint_hollow_organs
from bundle.rendering.organs import paint_gallbladder, paint_kidneys, paint_liver, paint_spleen
from bundle.rendering.pancreas import paint_pancreas
from bundle.rendering.phases import PHASES, draw_patient_hu, draw_phase
from bundle.rendering.scene import Scene
from bundle.rendering.texture import fine_field, first_coat
from bundle.rendering.tissue_details import (
    paint_blood,
    paint_bone,
    paint_fat,
    paint_lungs,
    paint_muscle,
    paint_subcutaneous_fat,
)
from bundle.rendering.tissues import CLASSES

_PAINTERS = (
    paint_fat,
    paint_subcutaneous_fat,
    paint_muscle,
    paint_bone,
    paint_lungs,
    paint_blood,
    paint_liver,
    paint_spleen,
    paint_kidneys,
    paint_gallbladder,
    paint_hollow_organs,
    paint_pancreas,
)


@dataclass(frozen=True)
class Painted:
    """A body in Hounsfield units, before any scanner has seen it.

    Args:
        image_hu: float32 (X, Y, Z) in RAS.
        label: uint8 (X, Y, Z), indices into :data:`~bundle.rendering.tissues.CLASSES`.
        spacing_mm: edge of the cubic voxels.
        facts: plain values about the patient: phase, pancreas_hu, fat_share, cysts, duct_mm, oral_contrast ...
    """

    image_hu: Tensor
    label: Tensor
    spacing_mm: float
    facts: dict[str, Any]


def paint(anatomy: Anatomy, generator: torch.Generator, phase: str | None = None) -> Painted:
    """HU and label of ``anatomy`` as one random patient, on the device of its tissues.

    Organs that are absent are not painted; ``facts`` then lacks what concerns them.

    Args:
        phase: one of :data:`~bundle.rendering.phases.PHASES`; drawn by its share if not given.

    Raises:
        InputError: on another phase.
    """
    if phase is not None and phase not in PHASES:
        raise bad_input("phase", f"must be one of {', '.join(PHASES)}", repr(phase), "choose one or leave it out")
    phase = phase or draw_phase(generator)
    hu = draw_patient_hu(phase, generator)
    fine = fine_field(anatomy.tissues, anatomy.spacing_mm, generator)
    coat = first_coat(anatomy.tissues, hu, fine, anatomy.spacing_mm, generator)
    label, facts = label_of(anatomy.tissues), {"phase": phase}
    scene = Scene(anatomy.tissues, anatomy.spacing_mm, generator, phase, hu, coat, label, fine, facts)
    for painter in _PAINTERS:
        painter(scene)
    return Painted(scene.image_hu, scene.label, anatomy.spacing_mm, scene.facts)


def label_of(tissues: Tensor) -> Tensor:
    """Class of every voxel, uint8: tissues that are no class become background."""
    return torch.where(tissues < len(CLASSES), tissues, 0).to(torch.uint8)
