from __future__ import annotations

import json
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import torch
from typer.testing import CliRunner

import bundle.segment
from bundle import cli
from bundle.errors import InputError
from bundle.segment import Segmenter, choose_device, segment
from bundle.segment_command import exit_code

# A pipeline whose "pancreas" is whatever is 100 HU and more, so that the answer is known without weights.
CONFIG = {
    "imports": ["$import torch"],
    "bundle_root": ".",
    "output_dir": "output",
    "device": "cpu",
    "system": "threshold",
    "network": {"_target_": "torch.nn.Identity"},
    "inferer": {"_target_": "SimpleInferer"},
    "preprocessing": {
        "_target_": "Compose",
        "transforms": [
            {"_target_": "bundle.read.LoadScand", "keys": "image"},
            {
                "_target_": "Orientationd",
                "keys": "image",
                "axcodes": "RAS",
                "labels": [["L", "R"], ["P", "A"], ["I", "S"]],
            },
        ],
    },
    "postprocessing": {
        "_target_": "Compose",
        "transforms": [
            {"_target_": "AsDiscreted", "keys": "pred", "threshold": 100},
            {"_target_": "CastToTyped", "keys": "pred", "dtype": "$torch.uint8"},
            {
                "_target_": "Invertd",
                "keys": "pred",
                "transform": "@preprocessing",
                "orig_keys": "image",
                "nearest_interp": False,
            },
        ],
    },
    "saving": {
        "_target_": "Compose",
        "transforms": [
            {"_target_": "bundle.write.SaveMaskd", "keys": "pred", "output_dir": "@output_dir"},
            {"_target_": "bundle.write.SaveMontaged", "keys": "pred", "output_dir": "@output_dir"},
            {
                "_target_": "bundle.write.SaveReportd",
                "keys": "pred",
                "output_dir": "@output_dir",
                "system": "@system",
            },
        ],
    },
}

# Index +x goes to the patient's left and the voxels are 1 x 1 x 5 mm: neither survives a mix-up of grids.
AFFINE = np.diag([-1.0, 1.0, 5.0, 1.0])


@pytest.fixture(autouse=True)
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "inference.json"
    path.write_text(json.dumps(CONFIG))
    monkeypatch.setattr(bundle.segment, "CONFIG", path)
    return path


@pytest.fixture
def scans(tmp_path: Path) -> Path:
    folder = tmp_path / "scans"
    folder.mkdir()
    return folder


def hu(organ: int = 120) -> np.ndarray:
    voxels = np.full((16, 14, 12), -1000, dtype=np.int16)
    voxels[2:14, 2:12] = -90
    voxels[4:12, 4:10] = 40
    voxels[4:7, 5:9, 3:8] = organ
    return voxels


def save(path: Path, voxels: np.ndarray) -> Path:
    nib.save(nib.Nifti1Image(voxels, AFFINE), path)
    return path


def run(*arguments: object):
    return CliRunner().invoke(cli.app, ["segment", *map(str, arguments)])


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
    assert segment(save(scans / "a.nii", hu()), system="mine").report["system"] == "mine"


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


@pytest.mark.parametrize(
    ("outcomes", "code"),
    [
        (["ok", "ok"], 0),
        (["ok", "not_found"], 3),
        (["ok", "invalid_input"], 3),
        (["failed"], 3),
        (["invalid_input", "invalid_input"], 2),
    ],
)
def test_exit_codes(outcomes, code):
    assert exit_code(outcomes) == code


def test_the_command_segments_a_folder(scans, tmp_path):
    save(scans / "a.nii.gz", hu())
    save(scans / "b.nii", hu())
    result = run(scans, "--output", tmp_path / "out")
    assert result.exit_code == 0, result.output
    assert (tmp_path / "out" / "a" / "segmentation.nii.gz").exists()
    assert (tmp_path / "out" / "b" / "report.json").exists()
    assert "0.3" in result.stdout


def test_a_bad_scan_does_not_stop_the_others(scans, tmp_path):
    save(scans / "a.nii.gz", hu() * 0)
    save(scans / "b.nii.gz", hu())
    save(scans / "c.nii.gz", hu(organ=50))
    result = run(scans, "gone.nii", "-o", tmp_path / "out")
    assert result.exit_code == 3
    outcomes = {
        path.parent.name: json.loads(path.read_text())["outcome"] for path in tmp_path.glob("out/*/report.json")
    }
    assert outcomes == {"a": "invalid_input", "b": "ok", "c": "not_found"}
    assert not (tmp_path / "out" / "a" / "segmentation.nii.gz").exists()
    errors = [line for line in result.stderr.splitlines() if line.startswith("error: ")]
    assert len(errors) == 2
    assert "Traceback" not in result.output


def test_an_unexpected_error_is_one_line_and_a_traceback_in_the_log(scans, tmp_path, monkeypatch):
    def fail(self, path, case):
        raise KeyError("surprise")

    monkeypatch.setattr(Segmenter, "__call__", fail)
    result = run(save(scans / "a.nii.gz", hu()), "-o", tmp_path / "out")
    assert result.exit_code == 3
    assert "KeyError: 'surprise'" in result.stderr
    assert "Traceback" not in result.output
    assert "Traceback" in (tmp_path / "out" / "errors.log").read_text()
    assert json.loads((tmp_path / "out" / "a" / "report.json").read_text())["outcome"] == "failed"


def test_results_are_replaced_only_with_overwrite(scans, tmp_path):
    path = save(scans / "a.nii.gz", hu())
    assert run(path, "-o", tmp_path / "out").exit_code == 0
    again = run(path, "-o", tmp_path / "out")
    assert isinstance(again.exception, InputError)
    assert "results of a. Give --overwrite" in str(again.exception)
    assert run(path, "-o", tmp_path / "out", "--overwrite").exit_code == 0


def test_overwrite_takes_away_an_older_mask_and_nothing_else(scans, tmp_path):
    folder = tmp_path / "out" / "a"
    folder.mkdir(parents=True)
    (folder / "segmentation.nii.gz").touch()
    (folder / "notes.txt").touch()
    assert run(save(scans / "a.nii.gz", hu() * 0), "-o", tmp_path / "out", "--overwrite").exit_code == 2
    assert sorted(path.name for path in folder.iterdir()) == ["notes.txt", "report.json"]


def test_inputs_of_one_name_get_folders_of_their_own(scans, tmp_path):
    (scans / "deep").mkdir()
    paths = save(scans / "a.nii.gz", hu()), save(scans / "deep" / "a.nii.gz", hu())
    assert run(*paths, "-o", tmp_path / "out").exit_code == 0
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["a", "a_2"]


def test_bad_input_is_one_line_and_exit_code_2(scans, tmp_path, capsys):
    (tmp_path / "out").touch()
    path = save(scans / "a.nii.gz", hu())
    with pytest.raises(SystemExit) as caught:
        cli.main(["segment", str(path), "--output", str(tmp_path / "out")])
    assert caught.value.code == 2
    assert capsys.readouterr().err.startswith("error: ")


@pytest.mark.parametrize(
    "arguments", [["segment"], ["segment", "a.nii"], ["segment", "a.nii", "-o", "x", "--device", "tpu"], ["sgment"]]
)
def test_wrong_usage_is_exit_code_2(arguments):
    assert CliRunner().invoke(cli.app, arguments).exit_code == 2


@pytest.mark.parametrize("arguments", [["segment", "--help"], ["render", "--help"], ["anatomy", "build", "--help"]])
def test_every_command_has_help(arguments):
    result = CliRunner().invoke(cli.app, arguments)
    assert result.exit_code == 0
    assert "--output" in result.output
