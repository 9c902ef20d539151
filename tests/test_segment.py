"""``bundle.segment`` and :class:`Segmenter`: one scan from Python."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import torch

from bundle import segment
from bundle.errors import InputError
from bundle.segmentation import Segmenter, choose_device, configuration
from bundle.segmentation.study import Study
from tests.threshold_pipeline import AFFINE, CONFIG, hu, save

ROOT = Path(__file__).parents[1]


@pytest.fixture(autouse=True)
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "inference.json"
    path.write_text(json.dumps(CONFIG))
    monkeypatch.setattr(configuration, "CONFIG", path)
    return path


@pytest.fixture
def scans(tmp_path: Path) -> Path:
    folder = tmp_path / "scans"
    folder.mkdir()
    return folder


def test_the_mask_lies_on_the_grid_of_the_file(scans):
    result = segment(save(scans / "a.nii.gz", hu()))
    np.testing.assert_array_equal(result.mask[0].numpy(), hu() == 120)
    np.testing.assert_allclose(np.asarray(result.mask.affine), AFFINE)
    assert (result.case, result.outcome, result.folder) == ("a", "ok", None)
    assert result.volume_ml == pytest.approx(3 * 4 * 5 * 5 / 1000)


def test_without_output_nothing_is_written(scans, tmp_path, monkeypatch):
    monkeypatch.chdir(scans)
    segment(save(scans / "a.nii.gz", hu()))
    assert [path.name for path in scans.iterdir()] == ["a.nii.gz"]


def test_with_output_there_are_mask_picture_and_report(scans, tmp_path):
    result = segment(save(scans / "a.nii.gz", hu()), tmp_path / "out")
    assert result.folder == tmp_path / "out" / "a"
    assert sorted(path.name for path in result.folder.iterdir()) == [
        "overlay.png",
        "report.json",
        "segmentation.nii.gz",
    ]
    written = nib.load(result.folder / "segmentation.nii.gz")
    np.testing.assert_array_equal(np.asanyarray(written.dataobj), hu() == 120)
    np.testing.assert_allclose(written.affine, AFFINE)
    report = json.loads((result.folder / "report.json").read_text())
    assert report == result.report
    assert (report["outcome"], report["system"]) == ("ok", "threshold")


def test_bad_input_comes_without_the_wrapping_of_monai(scans):
    with pytest.raises(InputError, match=r"a\.nii\.gz: an image shows something"):
        segment(save(scans / "a.nii.gz", hu() * 0))


def test_settings_replace_keys_of_the_configuration(scans):
    with pytest.raises(InputError, match="spacing_nm: a setting is a key of the configuration"):
        Segmenter(spacing_nm=1)
    path = save(scans / "a.nii", hu())
    assert segment(path, threshold=0.7).outcome == "not_found"


def test_a_pipeline_that_writes_no_mask_is_refused_where_one_is_asked_for(config, tmp_path):
    config.write_text(json.dumps({key: value for key, value in CONFIG.items() if key != "saving"}))
    with pytest.raises(InputError, match="no SaveMaskd"):
        Segmenter(tmp_path / "out")


def test_devices_are_checked():
    assert choose_device("cpu") == torch.device("cpu")
    with pytest.raises(InputError, match="auto, cpu or cuda"):
        choose_device("gpu")
    with pytest.raises(InputError, match="cuda:99 is there"):
        choose_device("cuda:99")


def test_the_package_does_not_wait_for_torch():
    code = "import bundle, sys; assert 'torch' not in sys.modules; assert not hasattr(bundle, 'sgment')"
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)


def test_probabilities_lie_on_the_grid_of_the_file(scans):
    result = segment(save(scans / "a.nii.gz", hu()), probabilities=True)
    assert result.probabilities is not None
    np.testing.assert_allclose(result.probabilities[0].numpy(), np.clip(hu() / 200, 0, 1), atol=1e-6)
    np.testing.assert_allclose(np.asarray(result.probabilities.affine), AFFINE)


def test_probabilities_come_only_when_asked_for(scans, tmp_path):
    result = segment(save(scans / "a.nii.gz", hu()), tmp_path / "out")
    assert result.probabilities is None
    assert not (tmp_path / "out" / "a" / "probabilities.nii.gz").exists()


def test_probabilities_are_written_in_percent(scans, tmp_path):
    segment(save(scans / "a.nii.gz", hu()), tmp_path / "out", probabilities=True)
    written = nib.load(tmp_path / "out" / "a" / "probabilities.nii.gz")
    percent = np.select([hu() == 120, hu() == 40], [60, 20])
    np.testing.assert_array_equal(np.asanyarray(written.dataobj), percent)
    np.testing.assert_allclose(written.affine, AFFINE)


def test_the_report_lists_its_files_and_the_key_of_the_result(scans, tmp_path):
    result = segment(save(scans / "a.nii.gz", hu()), tmp_path / "out")
    assert result.report["files"] == ["overlay.png", "report.json", "segmentation.nii.gz"]
    assert len(result.report["key"]) == 32


def test_older_results_go_before_new_ones_come(scans, tmp_path):
    path = save(scans / "a.nii.gz", hu())
    segment(path, tmp_path / "out", probabilities=True)
    segment(path, tmp_path / "out")
    assert not (tmp_path / "out" / "a" / "probabilities.nii.gz").exists()


def test_a_scan_is_never_removed_for_its_own_results(scans):
    (scans / "segmentation").mkdir()
    path = save(scans / "segmentation" / "segmentation.nii.gz", hu())
    with pytest.raises(InputError, match="does not lie where its results go"):
        segment(path, scans)
    assert path.is_file()


def test_a_folder_with_two_scans_is_refused(scans):
    save(scans / "a.nii.gz", hu())
    save(scans / "b.nii.gz", hu())
    with pytest.raises(InputError, match="one scan is segmented at a time; received 2: a, b"):
        segment(scans)


def test_reasons_hold_findings_but_no_notes(scans):
    result = segment(save(scans / "a.nii.gz", hu(organ=50)))
    result.report["findings"] = [
        {"name": "tilt", "severity": "warning", "text": "tilted by 8 degrees"},
        {"name": "phase", "severity": "note", "text": "portal"},
    ]
    assert result.reasons == ["the mask is empty", "tilted by 8 degrees"]


def test_stages_are_told_in_order(scans):
    stages: list[str] = []
    segmenter = Segmenter()
    segmenter.run(Study("a", str(save(scans / "a.nii.gz", hu()))), stages.append)
    assert stages == ["read", "segment", "write"]


def test_an_unknown_system_is_named_with_those_there_are():
    with pytest.raises(InputError, match="a system is one of default, cai2018, .*; received 'zhu2019'"):
        Segmenter(system="zhu2019")


@pytest.mark.parametrize("system", ["xue2019", "zhao2019", "cai2018", "zhu2018", "roth2018"])
def test_missing_weights_are_named_with_the_remedy(system, tmp_path):
    shipped = ROOT / "configs" / "inference.json"
    with pytest.raises(InputError, match=rf"model_{system}\.pt: the weights of system {system} .*docs/systems\.md"):
        Segmenter(config=shipped, system=system, ckpt_dir=str(tmp_path))


def test_an_anonymous_result_names_no_file(scans, tmp_path):
    result = segment(save(scans / "doe_john.nii.gz", hu()), tmp_path / "out", anonymize=True)
    assert result.folder == tmp_path / "out" / "case_001"
    text = (result.folder / "report.json").read_text()
    assert "doe" not in text and str(tmp_path) not in text
