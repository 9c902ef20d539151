"""Clicks on their way through a pipeline, from Python and the command line, on every grid a scan may have."""

from __future__ import annotations

import copy
import json
import pickle
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import torch
from monai.data import MetaTensor

from bundle import segment
from bundle.cascade.report import CascadeReport
from bundle.clicks import KeepProbabilityForClicksd, PlaceClicksd, RefineWithClicksd
from bundle.errors import InputError
from bundle.segmentation import Segmenter, configuration
from bundle.segmentation.command import Options, run
from bundle.segmentation.study import Study, with_clicks
from tests.threshold_pipeline import AFFINE, CONFIG, hu, save

STEPS = [PlaceClicksd(), KeepProbabilityForClicksd("pred"), RefineWithClicksd("pred")]

FAR = (10, 8, 9)  # soft tissue of 40 HU, of which the network gives 0.2


def clicking_config() -> dict:
    config = copy.deepcopy(CONFIG)
    config["preprocessing"]["transforms"].insert(1, {"_target_": "bundle.clicks.PlaceClicksd"})
    steps = config["postprocessing"]["transforms"]
    steps.insert(0, {"_target_": "bundle.clicks.KeepProbabilityForClicksd", "keys": "pred"})
    steps[-1:] = [
        {"_target_": "bundle.cleanup.KeepComponentsd", "keys": "pred", "min_share": 1.0},
        {"_target_": "bundle.clicks.RefineWithClicksd", "keys": "pred", "threshold": "@threshold"},
        {"_target_": "bundle.assess.Assessd", "keys": "pred"},
        steps[-1] | {"_target_": "bundle.write.InvertWithReportd"},
    ]
    return config


@pytest.fixture(autouse=True)
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "inference.json"
    path.write_text(json.dumps(clicking_config()))
    monkeypatch.setattr(configuration, "CONFIG", path)
    return path


@pytest.fixture
def scan(tmp_path: Path) -> Path:
    return save(tmp_path / "a.nii.gz", hu())


def test_no_clicks_change_nothing(scan):
    np.testing.assert_array_equal(segment(scan).mask[0].numpy(), hu() == 120)


# The voxels run to the left in the file and to the right in the pipeline.
def test_a_click_is_a_voxel_of_the_mask_that_comes_back(scan):
    mask = segment(scan, foreground=[FAR], background=[(5, 6, 5)]).mask[0].numpy()
    assert mask[FAR] and not mask[5, 6, 5]


@pytest.mark.parametrize("codes", ["RAS", "LPS", "SAL", "PIR"])
def test_a_click_finds_its_voxel_whatever_the_orientation(tmp_path, codes):
    ras = nib.as_closest_canonical(nib.load(save(tmp_path / "a.nii", hu())))
    turn = nib.orientations.ornt_transform(nib.io_orientation(ras.affine), nib.orientations.axcodes2ornt(codes))
    turned = ras.as_reoriented(turn)
    nib.save(turned, tmp_path / "turned.nii")
    marked = np.zeros(ras.shape, dtype=np.uint8)
    marked[5, 8, 9] = 1  # RAS; in the soft tissue
    voxel = np.argwhere(nib.Nifti1Image(marked, ras.affine).as_reoriented(turn).get_fdata())[0]
    assert segment(tmp_path / "turned.nii", foreground=[voxel.tolist()]).mask[0][tuple(voxel)] == 1


def test_a_click_in_a_tilted_scan_finds_its_place(tmp_path, config):
    changed = clicking_config()
    changed["preprocessing"]["transforms"][0]["max_shear_degrees"] = 30
    changed["preprocessing"]["transforms"].insert(2, {"_target_": "bundle.preprocess.Uprightd", "keys": "image"})
    config.write_text(json.dumps(changed))
    affine = AFFINE.copy()
    affine[1, 2] = 1.5  # each slice, 5 mm above the last one, is shifted by 1.5 mm
    nib.save(nib.Nifti1Image(hu(), affine), tmp_path / "a.nii")
    before = segment(tmp_path / "a.nii").mask[0].numpy()
    after = segment(tmp_path / "a.nii", foreground=[FAR]).mask[0].numpy()
    new = np.argwhere(after & (1 - before))
    assert len(new) and np.abs((new - FAR) * [1, 1, 5]).max(axis=1).min() <= 2


def test_a_clicked_island_stays_though_only_the_largest_component_does(scan):
    mask = segment(scan, foreground=[FAR]).mask[0].numpy()
    assert mask[FAR] and (mask & (hu() == 120)).sum() == (hu() == 120).sum()


def test_a_click_outside_is_refused_before_the_network_runs(scan, monkeypatch):
    segmenter = Segmenter()
    monkeypatch.setattr(segmenter, "inferer", None)
    with pytest.raises(InputError, match=r"a\.nii\.gz: background click \(0, 14, 0\): a click lies in the scan"):
        segmenter(scan, background=[(0, 14, 0)])


def test_clicks_are_counted_in_the_report(scan, tmp_path):
    result = segment(scan, tmp_path / "out", foreground=[FAR], background=[(5, 6, 5), (5, 7, 5)])
    report = json.loads((tmp_path / "out" / "a" / "report.json").read_text())
    (finding,) = [finding for finding in report["findings"] if finding["name"] == "clicks"]
    assert finding["text"].startswith("corrected by clicks, 1 foreground and 2 background: ")
    assert report["volume_ml"] == result.volume_ml


def test_a_result_with_clicks_is_not_kept_for_one_without(scan):
    segmenter = Segmenter()
    study = Study("a", str(scan))
    keys = {segmenter.key(study), segmenter.key(with_clicks(study)), segmenter.key(with_clicks(study, [FAR]))}
    assert len(keys) == 2


def test_clicks_that_no_step_obeys_are_refused(scan, config):
    config.write_text(json.dumps(CONFIG))
    with pytest.raises(InputError, match="a step obeys the clicks; received no RefineWithClicksd"):
        segment(scan, foreground=[FAR])


def test_the_command_line_takes_clicks(scan, tmp_path):
    run([scan], Options(tmp_path / "out", foreground=["10,8,9"]))
    assert np.asanyarray(nib.load(tmp_path / "out" / "a" / "segmentation.nii.gz").dataobj)[FAR] == 1


def test_the_command_line_takes_clicks_for_one_scan_only(scan, tmp_path):
    save(tmp_path / "b.nii.gz", hu())
    with pytest.raises(InputError, match="clicks: clicks belong to one scan; received 2 studies"):
        run([scan, tmp_path / "b.nii.gz"], Options(tmp_path / "out", foreground=["10,8,9"]))


def refined(outcome: str, probability: float, foreground: list) -> MetaTensor:
    """What becomes of a scan of 30 x 30 x 30 voxels of 2 mm that the network gives one probability."""
    report = CascadeReport(outcome=outcome, reason="the reason", opinions={"volume_ml": 1.0})
    affine = torch.diag(torch.tensor([2.0, 2.0, 2.0, 1.0], dtype=torch.float64))
    image = MetaTensor(torch.full((1, 30, 30, 30), 80.0), affine=affine)
    pred = MetaTensor(torch.full((1, 30, 30, 30), probability), affine=affine, meta={"cascade": report.to_json()})
    data = PlaceClicksd()({"image": image, "foreground": foreground}) | {"pred": pred}
    data = KeepProbabilityForClicksd("pred")(data)
    data["pred"] = (data["pred"] >= 0.5).to(torch.uint8)
    return RefineWithClicksd("pred")(data)["pred"]


def test_a_click_where_nothing_was_found_gives_a_mask_of_low_confidence():
    mask = refined("not_found", 0.0, [[15, 15, 15]])
    cascade = CascadeReport.from_json(mask.meta["cascade"])
    assert mask[0, 15, 15, 15] == 1 and 0 < mask.sum() * 0.008 < 33.5  # no more than a ball of 20 mm
    assert (cascade.outcome, cascade.fallback) == ("ok", "clicks")
    assert cascade.reason == "the reason; the mask is what the clicks show"


def test_the_predicted_dice_of_another_mask_is_dropped():
    assert CascadeReport.from_json(refined("ok", 0.9, [[1, 1, 1]]).meta["cascade"]).opinions == {}
    assert CascadeReport.from_json(refined("ok", 0.9, []).meta["cascade"]).opinions == {"volume_ml": 1.0}


def test_a_probability_that_was_not_kept_is_named():
    mask = MetaTensor(torch.zeros(1, 4, 4, 4, dtype=torch.uint8), affine=torch.eye(4))
    data = {"image": mask, "pred": mask, "clicks_mm": {"foreground": [[1, 1, 1]], "background": []}}
    with pytest.raises(InputError, match="KeepProbabilityForClicksd comes before"):
        RefineWithClicksd("pred")(data)


@pytest.mark.parametrize("transform", STEPS, ids=[type(step).__name__ for step in STEPS])
def test_the_steps_travel_to_another_process(transform):
    assert type(pickle.loads(pickle.dumps(transform))) is type(transform)
