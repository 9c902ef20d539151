"""bundle.assess: findings about scan and mask, and the outcome."""

from __future__ import annotations

import pytest
import torch
from monai.data import MetaTensor

from bundle.assess import assess
from bundle.assess.anatomy import anatomy_findings, contrast_phase
from bundle.assess.border import touched_sides
from bundle.assess.intensities import intensity_findings
from bundle.assess.outcome import decide
from bundle.cascade.organs import Organ
from bundle.cascade.report import CascadeReport
from bundle.read.finding import CLICKS, META_KEY, Finding, note, to_text, warning


def body(air_hu: float = -1000, **values: float) -> MetaTensor:
    """A block of tissue in air, 20 x 20 x 20 voxels; ``corner`` and ``screw`` are the values of 8 and 1 of them."""
    image = torch.full((1, 20, 20, 20), float(air_hu))
    image[:, 5:15, 5:15, 5:15] = 40
    image[:, :2, :2, :2] = values.get("corner", air_hu)
    image[:, 10, 10, 10] = values.get("screw", 40)
    return MetaTensor(image, affine=torch.eye(4, dtype=torch.float64))


def names(findings: list[Finding]) -> list[str]:
    return [finding["name"] for finding in findings]


def organs(**places: tuple[float, tuple[float, float, float], float]) -> dict[str, Organ]:
    return {name: Organ(*values) for name, values in places.items()}


def test_nothing_is_said_of_a_sound_scan():
    assert intensity_findings(body()) == []


@pytest.mark.parametrize(
    ("image", "name", "words"),
    [
        (body(corner=-2048), "padding", "lowest -2048 HU"),
        (body(screw=3071), "metal", "above 2800 HU"),
        (body(air_hu=-880), "shifted_scale", "about -875 HU"),
        (body(air_hu=-160), "clipped", "cut off at -160 HU"),
    ],
)
def test_odd_values_are_named_with_their_number(image, name, words):
    findings = intensity_findings(image)
    assert names(findings) == [name]
    assert words in findings[0]["text"]


UPRIGHT = organs(
    liver=(1200, (200, 180, 200), 100),
    bowel=(800, (150, 190, 100), 20),
    spleen=(180, (60, 150, 190), 110),
    aorta=(40, (130, 150, 150), 130),
    vena_cava=(40, (150, 155, 150), 120),
)


def test_a_patient_as_usual_is_only_told_the_phase():
    assert names(anatomy_findings(UPRIGHT)) == ["contrast_phase"]


@pytest.mark.parametrize(
    ("change", "name", "words"),
    [
        ({"liver": (1200, (200, 180, 60), 100)}, "head_feet_flip", "40 mm below"),
        ({"aorta": (40, (130, 210, 150), 130)}, "front_back_flip", "30 mm before"),
        ({"spleen": (500, (60, 150, 190), 110)}, "left_right_flip", "500 ml"),
    ],
)
def test_a_flip_is_a_warning_with_its_number(change, name, words):
    findings = [finding for finding in anatomy_findings(UPRIGHT | organs(**change)) if finding["severity"] == "warning"]
    assert names(findings) == [name]
    assert words in findings[0]["text"]


def test_of_organs_that_are_not_seen_nothing_is_said():
    assert anatomy_findings({}) == []


@pytest.mark.parametrize(
    ("aorta_hu", "cava_hu", "phase"),
    [
        (40, 40, "unenhanced"),
        (300, 100, "arterial"),
        (150, 140, "portal venous"),
        (180, 170, "portal venous"),
        (95, 95, "portal venous or later"),
    ],
)
def test_phase_is_guessed_from_artery_and_vein(aorta_hu, cava_hu, phase):
    vessels = organs(aorta=(40, (0, 0, 0), aorta_hu), vena_cava=(40, (0, 0, 0), cava_hu))
    assert contrast_phase(vessels) == phase


def mask(*voxels: tuple[int, int, int], codes: tuple[float, float, float] = (1, 1, 1)) -> MetaTensor:
    """Voxels of 5 x 5 x 5 mm on a grid of 6³."""
    values = torch.zeros(1, 6, 6, 6)
    for voxel in voxels:
        values[0][voxel] = 1
    return MetaTensor(values, affine=torch.diag(torch.tensor([5.0 * c for c in codes] + [1.0], dtype=torch.float64)))


def test_a_mask_inside_touches_nothing():
    assert touched_sides(mask((3, 3, 3))) == []


def test_sides_are_named_after_the_patient():
    assert touched_sides(mask((3, 3, 5), (0, 3, 3))) == ["left", "head"]


def test_sides_follow_the_axes_of_the_scan():
    assert touched_sides(mask((3, 3, 5), (0, 3, 3), codes=(-1, 1, -1))) == ["right", "feet"]


def test_a_speck_at_the_border_is_no_touch():
    small = mask((3, 3, 5))
    small.affine = torch.eye(4, dtype=torch.float64)
    assert touched_sides(small) == []


WARNED = warning("shifted_scale", "the scale is shifted")
NOTED = note("metal", "there is metal")


def test_without_doubt_the_outcome_is_ok():
    assert decide(CascadeReport(), [], [NOTED], 0.9) == ("ok", [])


def test_an_empty_mask_keeps_the_outcome_of_the_cascade():
    report = CascadeReport("outside_field_of_view", "no liver")
    assert decide(report, [], [WARNED], None) == ("outside_field_of_view", ["no liver", "the scale is shifted"])


@pytest.mark.parametrize(
    ("report", "findings", "dice", "reason"),
    [
        (CascadeReport(reason="another way did", fallback="another way"), [], None, "another way did"),
        (CascadeReport(), [WARNED], None, "the scale is shifted"),
        (CascadeReport(), [], 0.72, "predicted Dice 0.72, below 0.75"),
    ],
)
def test_each_doubt_lowers_the_confidence(report, findings, dice, reason):
    assert decide(report, [], findings, dice) == ("low_confidence", [reason])


@pytest.mark.parametrize("volume_ml", [3.0, 353.0])
def test_without_a_predicted_dice_an_odd_volume_is_a_doubt(volume_ml):
    reason = f"{volume_ml:.0f} ml, outside the 15 to 250 ml of most glands"
    assert decide(CascadeReport(), [], [], None, volume_ml) == ("low_confidence", [reason])
    assert decide(CascadeReport(), [], [], 0.9, volume_ml) == ("ok", [])


def test_who_corrected_a_mask_by_clicks_has_judged_its_size():
    mask = MetaTensor(torch.zeros(1, 20, 20, 20), affine=torch.eye(4, dtype=torch.float64))
    mask[:, 8:12, 8:12, 8:12] = 1
    clicked = body()
    clicked.meta[META_KEY] = to_text([note(CLICKS, "two clicks")])
    assert [assess(mask, image)["outcome"] for image in (body(), clicked)] == ["low_confidence", "ok"]


def test_a_gland_cut_by_the_border_may_be_small_but_not_large():
    assert decide(CascadeReport(), ["head"], [], None, 3.0)[0] == "touches_border"
    assert decide(CascadeReport(), ["head"], [], None, 353.0)[0] == "low_confidence"


def test_a_mask_at_the_border_says_on_which_side():
    outcome, reasons = decide(CascadeReport(), ["head"], [], 0.9)
    assert outcome == "touches_border"
    assert reasons == ["the mask touches the border of the scan (head): a part may be missing"]


def test_doubt_counts_more_than_the_border_and_both_are_told():
    outcome, reasons = decide(CascadeReport(), ["head"], [WARNED], None)
    assert outcome == "low_confidence" and len(reasons) == 2
