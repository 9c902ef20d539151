"""bundle.cascade: the whole chain with networks whose answer is known, and its report."""

from __future__ import annotations

import json

import pytest
import torch
from monai.data import MetaTensor, decollate_batch, list_data_collate
from monai.inferers import SimpleInferer
from torch import nn

from bundle.cascade import (
    BoxRule,
    CascadeInferer,
    CascadeReport,
    Fallback,
    FieldOfView,
    FixedBoxRule,
    Growth,
    Region,
    SeveralRules,
    Stage,
    Vote,
    WholeScanRule,
)
from bundle.errors import InputError
from bundle.geometry import Box
from bundle.preprocess import grid_of

SHAPE = (24, 20, 16)
AFFINE = torch.diag(torch.tensor([1.0, 2.0, 4.0, 1.0], dtype=torch.float64))
ORGAN = Box((8, 6, 4), (16, 12, 10))
EVERYWHERE = Fallback(WholeScanRule(), "looking everywhere")


class Threshold(nn.Module):
    """Sure of foreground where the input is above ``lowest``."""

    def __init__(self, lowest: float = 50) -> None:
        super().__init__()
        self.lowest = nn.Parameter(torch.tensor(float(lowest)))
        self.calls = 0

    def forward(self, x):
        self.calls += 1
        return torch.cat([0 * x, 100 * (x - self.lowest).sign()], dim=1)


def as_it_is(image_hu: torch.Tensor) -> torch.Tensor:
    return image_hu


def too_dark(image_hu: torch.Tensor) -> torch.Tensor:
    return image_hu - 80


def stage(**settings) -> Stage:
    return Stage(SimpleInferer(), intensity=as_it_is, amp=False, **settings)


def scan(organ_hu: float = 100) -> MetaTensor:
    """(1, 1, X, Y, Z): an organ of 8 x 12 x 24 mm and 2.304 ml in water, and one bright voxel far from it."""
    image = torch.zeros(1, 1, *SHAPE)
    ORGAN.crop(image)[...] = organ_hu
    image[0, 0, 1, 1, 1] = 100
    return MetaTensor(image, affine=AFFINE)


def cascade(**settings) -> CascadeInferer:
    settings = {"localizer": Threshold(), "localize": stage(), "region_rule": BoxRule(min_share=1)} | settings
    return CascadeInferer(stage(), **settings)


def organ_mask() -> torch.Tensor:
    mask = torch.zeros(1, 1, *SHAPE, dtype=torch.bool)
    ORGAN.crop(mask)[...] = True
    return mask


def test_organ_is_found_in_its_box_and_nothing_beside_it():
    result = cascade().run(scan(), Threshold())
    assert torch.equal(result.pred.as_tensor() >= 0.5, organ_mask())
    assert result.report.outcome == "ok"
    assert result.report.boxes == [ORGAN]


def test_answer_lies_on_the_scans_own_grid():
    pred = cascade()(scan(), Threshold())
    assert pred.shape == (1, 1, *SHAPE)
    assert torch.equal(pred.affine, AFFINE)
    assert pred.dtype == torch.float32


def test_scan_is_left_as_it_was():
    inputs = scan()
    cascade()(inputs, Threshold())
    assert torch.equal(inputs.as_tensor(), scan().as_tensor())
    assert torch.equal(inputs.affine, AFFINE)
    assert "cascade" not in inputs.meta


# A segmenter that says in the region what the localizer says there leaves the localizer's answer as it is.
@pytest.mark.parametrize("rule", [BoxRule(margin_voxels=1), BoxRule(margin_mm=100), FixedBoxRule((20, 30, 40))])
def test_segmenter_that_repeats_the_localizer_changes_nothing(rule):
    result = cascade(region_rule=rule).run(scan(), Threshold())
    assert result.coarse is not None
    assert torch.equal(result.pred.as_tensor() >= 0.5, result.coarse >= 0.5)


def test_stages_at_other_spacings_find_the_organ_too():
    # Half the resolution for the localizer, twice for the segmenter; all borders lie on even voxels.
    inferer = CascadeInferer(
        stage(spacing_mm=(0.5, 1, 2)), Threshold(), stage(downsample=2), BoxRule(min_share=1, margin_mm=4)
    )
    pred = inferer(scan(), Threshold()) >= 0.5
    assert torch.equal(pred.as_tensor(), organ_mask())


class OnFinerGrid(Threshold):
    """Blind on fewer voxels than twice those of the scan along Z."""

    def forward(self, x):
        return super().forward(x if x.shape[-1] == 2 * SHAPE[-1] else 0 * x)


def test_next_localizing_stage_looks_where_the_first_finds_nothing():
    stages = [stage(), stage(spacing_mm=(1, 2, 2))]
    result = cascade(localizer=OnFinerGrid(), localize=stages).run(scan(), Threshold())
    assert result.report.outcome == "ok"
    assert result.localization is not None and result.localization.grid.size == (24, 20, 32)


def test_votes_of_two_regions_and_the_localizer():
    rules = SeveralRules([BoxRule(min_share=1), BoxRule(min_share=1, margin_voxels=2)])
    result = cascade(region_rule=rules, fusion=Vote()).run(scan(), Threshold())
    assert torch.equal(result.pred.as_tensor() == 1, organ_mask())
    assert len(result.report.boxes) == 2


def test_scan_without_organ_is_not_found_and_empty():
    segmenter = Threshold()
    result = cascade(localizer=Threshold(1000)).run(scan(), segmenter)
    assert result.report.outcome == "not_found"
    assert "found no pancreas" in result.report.reason
    assert result.report.boxes == []
    assert not result.pred.any()
    assert segmenter.calls == 0


def test_fallback_is_segmented_where_nothing_was_found():
    result = cascade(localizer=Threshold(1000), fallbacks=[EVERYWHERE]).run(scan(), Threshold())
    assert result.report.outcome == "ok"
    assert result.report.reason == "the localizer found no pancreas; looking everywhere did"
    assert result.report.fallback == "looking everywhere"
    assert ORGAN.crop(result.pred).min() > 0.5


def test_next_fallback_is_tried_where_the_first_finds_too_little():
    choosy = Fallback(WholeScanRule(), "being choosy", min_volume_ml=2.4)
    result = cascade(localizer=Threshold(1000), fallbacks=[choosy, EVERYWHERE]).run(scan(), Threshold())
    assert result.report.fallback == "looking everywhere"
    assert result.report.boxes == [Box((0, 0, 0), SHAPE)]


def test_fallbacks_that_find_nothing_leave_the_outcome():
    result = cascade(localizer=Threshold(1000), fallbacks=[EVERYWHERE]).run(scan(), Threshold(1000))
    assert result.report.outcome == "not_found"
    assert result.report.reason == "the localizer found no pancreas in the scan (largest probability 0.00)"
    assert result.report.fallback == ""
    assert result.report.boxes == [Box((0, 0, 0), SHAPE)]


def test_fallback_is_not_asked_where_the_localizer_finds_something():
    report = cascade(fallbacks=[EVERYWHERE], min_volume_ml=2.4).run(scan(), Threshold()).report
    assert report.outcome == "not_found" and report.boxes == [ORGAN]


# The localizer's class 1 has 2.304 ml.
@pytest.mark.parametrize(("needed_ml", "outcome"), [(2.2, "ok"), (2.4, "outside_field_of_view")])
def test_organs_that_are_not_in_view_end_the_search(needed_ml, outcome):
    segmenter = Threshold()
    view = FieldOfView([{"organs": ["liver"], "min_volume_ml": needed_ml}], min_total_ml=needed_ml)
    result = cascade(localize=stage(organs={"liver": 1}), field_of_view=view).run(scan(), segmenter)
    assert result.report.outcome == outcome
    assert bool(result.pred.any()) == bool(segmenter.calls) == (outcome == "ok")


# Liver is class 1, as the organ is: too little of it to be plainly in view, enough to look for the organ.
DOUBTFUL = FieldOfView([{"organs": ["liver"], "min_volume_ml": 100}], min_total_ml=2)


def test_a_mask_that_both_stages_agree_on_counts_in_a_doubtful_view():
    settings = {"localize": stage(organs={"liver": 1}), "field_of_view": DOUBTFUL, "min_agreement_ml": 2.2}
    result = cascade(**settings).run(scan(), Threshold())
    assert result.report.outcome == "ok"
    assert torch.equal(result.pred.as_tensor() > 0.5, organ_mask())


def test_a_doubtful_view_without_a_finding_is_outside_the_field_of_view():
    settings = {"localize": stage(organs={"liver": 1}), "field_of_view": DOUBTFUL, "min_agreement_ml": 2.4}
    result = cascade(**settings).run(scan(), Threshold())
    assert result.report.outcome == "outside_field_of_view"
    assert result.report.reason.startswith("the scan does not show the place of the pancreas: 2 ml of liver")
    assert not result.pred.any()


def test_no_fallback_is_tried_in_a_doubtful_view():
    settings = {"localize": stage(organs={"liver": 1}), "field_of_view": DOUBTFUL, "fallbacks": [EVERYWHERE]}
    report = cascade(region_rule=_no_regions, **settings).run(scan(), Threshold()).report
    assert report.outcome == "outside_field_of_view" and report.boxes == []


def _no_regions(localization):
    return []


def test_a_localizer_that_sees_no_organs_is_not_asked_for_them():
    view = FieldOfView([{"organs": ["liver"], "min_volume_ml": 100}], min_total_ml=100)
    assert cascade(field_of_view=view).run(scan(), Threshold()).report.outcome == "ok"


# 8 * 6 * 6 voxels of 0.008 ml are 2.304 ml.
@pytest.mark.parametrize(("min_volume_ml", "outcome"), [(2.2, "ok"), (2.4, "not_found")])
def test_mask_below_the_smallest_volume_becomes_empty(min_volume_ml, outcome):
    result = cascade(min_volume_ml=min_volume_ml).run(scan(), Threshold())
    assert result.report.outcome == outcome
    assert result.pred.any() == (outcome == "ok")


def test_segmenter_that_finds_nothing_is_not_found():
    report = cascade().run(scan(), Threshold(1000)).report
    assert report.outcome == "not_found"
    assert "the segmenter found 0.0 ml" in report.reason


def test_without_localizer_the_whole_scan_is_segmented():
    result = CascadeInferer(stage()).run(scan(), Threshold())
    assert result.report.boxes == [Box((0, 0, 0), SHAPE)]
    assert result.coarse is None


def test_given_regions_are_segmented_without_the_localizer():
    localizer = Threshold()
    region = Region(Box((8, 0, 0), (16, 20, 16)))
    result = cascade(localizer=localizer).run(scan(), Threshold(), regions=[region])
    assert result.report.boxes == [region.box]
    assert localizer.calls == 0


def test_other_heads_come_with_the_result():
    class TwoHeads(Threshold):
        def forward(self, x):
            return {"pred": super().forward(x), "skeleton": x}

    result = cascade().run(scan(), TwoHeads())
    assert torch.equal(result.extra[0]["skeleton"], ORGAN.crop(scan().as_tensor())[0])


def test_scan_of_a_data_loader_is_taken():
    # A data loader stacks affines: (1, 4, 4).
    batch = list_data_collate([{"image": scan()[0]}])["image"]
    pred = cascade()(batch, Threshold())
    assert torch.equal(pred.as_tensor() >= 0.5, organ_mask())
    assert grid_of(decollate_batch(pred)[0]).spacing_mm == (1, 2, 4)


def test_report_survives_decollation():
    batch = list_data_collate([{"image": scan()[0]}])["image"]
    pred = decollate_batch(cascade()(batch, Threshold()))[0]
    assert CascadeReport.from_json(pred.meta["cascade"]).boxes == [ORGAN]


def test_report_names_the_seconds_of_every_stage_and_the_memory():
    report = cascade().run(scan(), Threshold()).report
    assert set(report.seconds) == {"localize", "region", "segment", "paste"}
    assert min(report.seconds.values()) >= 0
    assert report.peak_memory_mb > 0


def test_report_there_and_back_is_the_report():
    report = CascadeReport("not_found", "why", [ORGAN], {"segment": 1.25}, 512.5)
    assert CascadeReport.from_json(report.to_json()) == report
    assert json.loads(report.to_json()) == report.as_dict()


def test_seconds_of_a_stage_add_up():
    report = CascadeReport(seconds={"segment": 5.0})
    with report.timed("segment", torch.device("cpu")):
        pass
    assert 5 < report.seconds["segment"] < 6


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        (torch.zeros(2, 1, 4, 4, 4), "one scan of one channel"),
        (torch.zeros(1, 2, 4, 4, 4), "one scan of one channel"),
        (torch.zeros(1, 4, 4, 4), "one scan of one channel"),
        (torch.zeros(1, 1, 4, 4, 4), "must know its spacing"),
    ],
)
def test_input_that_is_no_scan_is_refused(inputs, message):
    with pytest.raises(InputError, match=message):
        cascade()(inputs, Threshold())


def test_localizer_without_region_rule_is_refused():
    with pytest.raises(ValueError, match="'localize' and 'region_rule'"):
        CascadeInferer(stage(), Threshold(), stage())


def test_a_region_too_small_for_the_organ_grows_until_it_holds_it():
    growth = Growth(step_mm=4, times=3)
    result = cascade(region_rule=FixedBoxRule((4, 24, 24), min_share=1), growth=growth).run(scan(), Threshold())
    assert torch.equal(result.pred.as_tensor() > 0.5, organ_mask())
    assert result.report.boxes[0].start[0] < ORGAN.start[0] and result.report.boxes[0].stop[0] > ORGAN.stop[0]


def test_regions_that_are_given_do_not_grow():
    box = Box((10, 6, 4), (14, 12, 10))
    result = cascade(growth=Growth()).run(scan(), Threshold(), regions=[Region(box)])
    assert result.report.boxes == [box]


@pytest.mark.parametrize(("needed_ml", "outcome"), [(2.2, "ok"), (2.4, "not_found")])
def test_both_stages_must_agree_on_enough_of_the_organ(needed_ml, outcome):
    result = cascade(min_agreement_ml=needed_ml).run(scan(), Threshold())
    assert result.report.outcome == outcome
    assert bool((result.pred.as_tensor() > 0).any()) == (outcome == "ok")


def test_what_the_localizer_does_not_see_is_no_agreement():
    # The localizer sees the stray voxel alone; the segmenter sees the organ in a region that holds both.
    image = scan(organ_hu=60)
    settings = {"localizer": Threshold(80), "region_rule": BoxRule(margin_mm=100), "min_agreement_ml": 0.1}
    report = cascade(**settings).run(image, Threshold(50)).report
    assert report.outcome == "not_found"
    assert report.reason == "localizer and segmenter agree on 0.0 ml of pancreas only, more than 0.1 ml are needed"


@pytest.mark.parametrize(("needed_ml", "outcome"), [(1.1, "ok"), (1.2, "not_found")])
def test_the_second_look_must_agree_too(needed_ml, outcome):
    # It sees the upper half of the organ, which lies above 100 HU once half of it is made brighter: 1.152 ml.
    image = scan()
    image[..., ORGAN.start[2] + 3 : ORGAN.stop[2]] *= 1.5
    again = Stage(SimpleInferer(), intensity=too_dark, amp=False)
    result = cascade(second_look=again, min_agreement_ml=needed_ml).run(image, Threshold())
    assert result.report.outcome == outcome
    assert torch.equal(result.pred.as_tensor() >= 0.5, organ_mask()) == (outcome == "ok")


def test_a_doubt_names_all_that_were_asked():
    again = Stage(SimpleInferer(), intensity=too_dark, amp=False)
    report = cascade(second_look=again, min_agreement_ml=1).run(scan(), Threshold()).report
    assert report.reason.startswith("localizer, segmenter and its second look agree on 0.0 ml of pancreas only")


def test_what_a_fallback_finds_needs_no_agreement():
    settings = {"localizer": Threshold(1000), "fallbacks": [EVERYWHERE], "min_agreement_ml": 0.1}
    assert cascade(**settings).run(scan(), Threshold()).report.outcome == "ok"


def test_opinions_of_both_stages_are_told_when_asked():
    report = cascade(opinions=True).run(scan(), Threshold()).report
    assert CascadeReport.from_json(report.to_json()).opinions == report.opinions
    assert report.opinions["coarse_fine_dice"] == 1
    assert report.opinions["volume_ml"] == pytest.approx(2.304)


@pytest.mark.parametrize(("intensity", "agreement"), [(as_it_is, 1), (too_dark, 0)])
def test_a_second_look_tells_how_far_the_segmenter_agrees_with_itself(intensity, agreement):
    second = Stage(SimpleInferer(), downsample=2, intensity=intensity, amp=False)
    result = cascade(opinions=True, second_look=second).run(scan(), Threshold())
    assert result.report.opinions["second_look_dice"] == agreement
    assert torch.equal(result.pred.as_tensor() >= 0.5, organ_mask())


def test_nobody_looks_twice_where_no_opinions_are_asked():
    segmenter = Threshold()
    cascade(second_look=stage()).run(scan(), segmenter)
    assert segmenter.calls == 1


def test_no_opinions_are_told_unless_asked():
    assert cascade().run(scan(), Threshold()).report.opinions == {}


def test_nobody_has_an_opinion_of_nothing():
    report = cascade(opinions=True).run(scan(), Threshold(1000)).report
    assert report.outcome == "not_found"
    assert report.opinions == {}
