"""Contrast phases: how often each occurs, and the attenuation of every tissue in each."""

from __future__ import annotations

import torch

from bundle.rendering.draws import normal, pick
from bundle.rendering.tissues import Tissue

PHASE_SHARES = {"unenhanced": 0.22, "arterial": 0.25, "portal": 0.43, "late": 0.10}
PHASES = tuple(PHASE_SHARES)

# HU of a tissue in the order of PHASES: (means, standard deviations between patients). The hollow organs stand for
# their wall, the kidneys for their cortex, the lungs for their parenchyma, bone for the spongy inside.
_T = Tissue
HU: dict[Tissue, tuple[tuple[float, float, float, float], tuple[float, float, float, float]]] = {
    _T.OUTSIDE: ((-1000, -1000, -1000, -1000), (0, 0, 0, 0)),
    _T.PANCREAS: ((38, 105, 92, 75), (7, 20, 16, 14)),
    _T.DUODENUM: ((38, 75, 82, 70), (6, 18, 14, 12)),
    _T.STOMACH: ((38, 75, 85, 72), (6, 20, 15, 12)),
    _T.BOWEL: ((37, 75, 82, 70), (6, 18, 14, 12)),
    _T.LIVER: ((55, 70, 108, 90), (7, 10, 14, 12)),
    _T.SPLEEN: ((48, 135, 120, 95), (5, 22, 15, 12)),
    _T.KIDNEY_LEFT: ((32, 185, 190, 170), (4, 30, 25, 25)),
    _T.KIDNEY_RIGHT: ((32, 185, 190, 170), (4, 30, 25, 25)),
    _T.GALLBLADDER: ((10, 10, 11, 12), (6, 6, 6, 6)),
    _T.AORTA: ((42, 290, 160, 115), (5, 60, 25, 15)),
    _T.VENA_CAVA: ((40, 90, 140, 112), (5, 30, 25, 15)),
    _T.PORTAL_VEINS: ((40, 120, 172, 118), (5, 35, 22, 15)),
    _T.ARTERIES: ((42, 270, 155, 113), (5, 60, 25, 15)),
    _T.FAT: ((-105, -105, -104, -104), (7, 7, 7, 7)),
    _T.SUBCUTANEOUS_FAT: ((-108, -108, -107, -107), (6, 6, 6, 6)),
    _T.SKIN: ((20, 25, 30, 30), (15, 15, 15, 15)),
    _T.MUSCLE: ((52, 57, 61, 60), (5, 5, 5, 5)),
    _T.BONE: ((150, 155, 165, 160), (40, 40, 40, 40)),
    _T.CARTILAGE: ((98, 100, 102, 102), (12, 12, 12, 12)),
    _T.SPINAL_CANAL: ((22, 25, 28, 28), (6, 6, 6, 6)),
    _T.LUNG: ((-845, -840, -840, -840), (35, 35, 35, 35)),
    _T.HEART: ((42, 190, 140, 112), (4, 50, 20, 14)),
    _T.OESOPHAGUS: ((36, 58, 66, 60), (5, 12, 10, 8)),
    _T.ADRENAL_GLANDS: ((18, 62, 68, 48), (10, 15, 14, 12)),
    _T.BLADDER: ((6, 6, 8, 60), (4, 4, 6, 50)),
    _T.OTHER_SOFT: ((40, 58, 68, 62), (6, 12, 12, 10)),
    _T.OTHER_VEINS: ((42, 130, 130, 110), (5, 60, 22, 15)),
}

# Share of a patient's deviation from the mean that all tissues have in common: contrast dose, weight, heart, delay.
_COMMON = 0.6
_STAYS_ALIKE = {Tissue.KIDNEY_RIGHT: Tissue.KIDNEY_LEFT, Tissue.ARTERIES: Tissue.AORTA}


def draw_phase(generator: torch.Generator) -> str:
    """One of :data:`PHASES`, as often as abdominal scans are taken in it."""
    return pick(generator, PHASE_SHARES)


def draw_patient_hu(phase: str, generator: torch.Generator) -> dict[Tissue, float]:
    """HU of every tissue in one patient, at ``phase``. Tissues that enhance deviate together."""
    column = PHASES.index(phase)
    common = normal(generator, 0, 1) * _COMMON
    own = (1 - _COMMON**2) ** 0.5
    patient: dict[Tissue, float] = {}
    for tissue, (means, sds) in HU.items():
        enhances = means[column] - means[0] > 15
        deviation = common + own * normal(generator, 0, 1) if enhances else normal(generator, 0, 1)
        patient[tissue] = means[column] + sds[column] * max(-2.2, min(2.2, deviation))
    for tissue, twin in _STAYS_ALIKE.items():
        patient[tissue] = patient[twin] * (0.96 if tissue is Tissue.ARTERIES else 1.0)
    return patient
