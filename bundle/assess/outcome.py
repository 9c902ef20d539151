"""One word for what became of a scan, and the reasons for it in sentences."""

from __future__ import annotations

from collections.abc import Sequence

from bundle.cascade.report import OK, WITHOUT_MASK, CascadeReport
from bundle.measure.plausible import PLAUSIBLE
from bundle.read.finding import Finding

TOUCHES_BORDER = "touches_border"
LOW_CONFIDENCE = "low_confidence"

MIN_PREDICTED_DICE = 0.75
"""Of rendered validation scans it flags ten of eleven masks of Dice < 0.7, and eight of 80 others (docs/quality.md)."""

MISLEADING = ("shifted_scale", "head_feet_flip", "front_back_flip", "left_right_flip")
"""Findings about a scan that the networks were not made for; the others don't change what a mask is worth."""


def decide(
    cascade: CascadeReport,
    sides: Sequence[str],
    findings: Sequence[Finding],
    predicted_dice: float | None,
    volume_ml: float | None = None,
) -> tuple[str, list[str]]:
    """Return the outcome and its reasons; ``ok`` has none.

    The first that holds counts: no mask (``outside_field_of_view``, ``not_found``), ``low_confidence`` (found by a
    fallback, a misleading scan, a predicted Dice below 0.75 or, without one, an implausible volume),
    ``touches_border``, ``ok``. The reasons are those of all that hold.

    Args:
        cascade: what the cascade said.
        sides: of the scan that the mask touches.
        findings: about scan and mask.
        predicted_dice: of the quality score; None if there is none.
        volume_ml: of the mask; None leaves it unjudged.
    """
    warnings = [finding["text"] for finding in findings if finding["name"] in MISLEADING]
    if cascade.outcome in WITHOUT_MASK:
        return cascade.outcome, [cascade.reason, *warnings]
    doubts = [cascade.reason] if cascade.fallback else []
    doubts += warnings
    if predicted_dice is not None and predicted_dice < MIN_PREDICTED_DICE:
        doubts.append(f"predicted Dice {predicted_dice:.2f}, below {MIN_PREDICTED_DICE:g}")
    elif predicted_dice is None and volume_ml is not None:
        doubts += _odd_volume(volume_ml, bool(sides))
    border = [f"the mask touches the border of the scan ({', '.join(sides)}): a part may be missing"] if sides else []
    outcome = LOW_CONFIDENCE if doubts else TOUCHES_BORDER if border else OK
    return outcome, doubts + border


def _odd_volume(volume_ml: float, is_cut: bool) -> list[str]:
    """Say so if a gland can hardly have that volume; one that is cut by the border may be as small as it likes."""
    low, high = PLAUSIBLE["volume_ml"]
    if volume_ml <= high and (is_cut or volume_ml >= low):
        return []
    return [f"{volume_ml:.0f} ml, outside the {low:g} to {high:g} ml of most glands"]
