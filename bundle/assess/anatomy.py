"""What the neighbouring organs tell of a scan: whether it stands on its head, and the phase of the contrast."""

from __future__ import annotations

from collections.abc import Mapping

from bundle.cascade.organs import Organ
from bundle.read.finding import Finding, note, warning

# Seen on flipped scans (docs/outcomes.md): liver and bowel trade places, and so do liver and aorta; a patient flipped
# sideways has half the liver taken for a spleen.
MIN_VOLUME_ML = 100.0
MIN_AORTA_ML = 8.0
MAX_BELOW_MM = 20.0
MAX_BEHIND_MM = 10.0
MAX_SPLEEN_TO_LIVER = 0.4

# Chosen on rendered scans, whose phase is known; blood without contrast has 30 to 50 HU.
UNENHANCED_AORTA_HU = 65
ARTERIAL_AORTA_HU = 120
ARTERIAL_CAVA_SHARE = 0.4
PORTAL_AORTA_HU = 100


def anatomy_findings(organs: Mapping[str, Organ]) -> list[Finding]:
    """Return what is odd about the places of the organs, and the guessed phase; nothing of organs that aren't seen."""
    checks = (_head_feet, _front_back, _left_right, _phase)
    return [finding for check in checks if (finding := check(organs)) is not None]


def contrast_phase(organs: Mapping[str, Organ]) -> str | None:
    """Return ``unenhanced``, ``arterial``, ``portal venous`` or ``portal venous or later``; None without aorta."""
    aorta = organs.get("aorta")
    if aorta is None or aorta.volume_ml < MIN_AORTA_ML:
        return None
    if aorta.median_hu < UNENHANCED_AORTA_HU:
        return "unenhanced"
    cava = organs.get("vena_cava")
    if aorta.median_hu >= ARTERIAL_AORTA_HU and cava is not None:
        if cava.median_hu < ARTERIAL_CAVA_SHARE * aorta.median_hu:
            return "arterial"
    return "portal venous" if aorta.median_hu >= PORTAL_AORTA_HU else "portal venous or later"


def _phase(organs: Mapping[str, Organ]) -> Finding | None:
    phase = contrast_phase(organs)
    if phase is None:
        return None
    text = f"contrast phase, guessed from the aorta ({organs['aorta'].median_hu:.0f} HU) and the vena cava: {phase}"
    return note("contrast_phase", text)


def _head_feet(organs: Mapping[str, Organ]) -> Finding | None:
    liver, bowel = _large(organs, "liver"), _large(organs, "bowel")
    if liver is None or bowel is None or bowel.centre_mm[2] - liver.centre_mm[2] <= MAX_BELOW_MM:
        return None
    below_mm = bowel.centre_mm[2] - liver.centre_mm[2]
    text = f"the liver lies {below_mm:.0f} mm below the bowel: head and feet swapped?"
    return warning("head_feet_flip", text)


def _front_back(organs: Mapping[str, Organ]) -> Finding | None:
    liver, aorta = _large(organs, "liver"), organs.get("aorta")
    if liver is None or aorta is None or aorta.volume_ml < MIN_AORTA_ML:
        return None
    before_mm = aorta.centre_mm[1] - liver.centre_mm[1]
    if before_mm <= MAX_BEHIND_MM:
        return None
    text = f"the aorta lies {before_mm:.0f} mm before the liver: front and back swapped?"
    return warning("front_back_flip", text)


def _left_right(organs: Mapping[str, Organ]) -> Finding | None:
    liver, spleen = _large(organs, "liver"), _large(organs, "spleen")
    if liver is None or spleen is None or spleen.volume_ml <= MAX_SPLEEN_TO_LIVER * liver.volume_ml:
        return None
    text = (
        f"on the left lies {spleen.volume_ml:.0f} ml of what looks like spleen, on the right {liver.volume_ml:.0f} ml "
        "of liver: left and right swapped, or a very large spleen?"
    )
    return warning("left_right_flip", text)


def _large(organs: Mapping[str, Organ], name: str) -> Organ | None:
    organ = organs.get(name)
    return organ if organ is not None and organ.volume_ml >= MIN_VOLUME_ML else None
