"""The preflight check: what it names, and that it has nothing to say of the bundle's own configurations."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
import typer
from monai.bundle import ConfigParser
from typer.testing import CliRunner

from bundle.errors import InputError
from bundle.preflight import (
    check_command_line,
    key_problems,
    parse_settings,
    plan_lines,
    read_configuration,
    resource_problems,
    version_findings,
)
from bundle.preflight.command import check
from bundle.preflight.command_line import monai_run
from tests.phantoms import ROOT, write_dataset

KINDS = {
    "inference": ["inference.json"],
    "evaluate": ["inference.json", "evaluate.json"],
    "train": ["train.json"],
    "train_localizer": ["train.json", "train_localizer.json"],
    "multi_gpu": ["train.json", "multi_gpu_train.json"],
    "rendered": ["train.json", "train_rendered.json"],
    "real_slices": ["train.json", "train_real_slices.json"],
}
SYSTEMS = ["", *sorted(path.name for path in (ROOT / "configs").glob("system_*.json"))]
MONAI = "/somewhere/monai/bundle/__main__.py"


def files(*names: str) -> list[str]:
    return [str(ROOT / "configs" / name) for name in names]


def problems(names: list[str], **settings) -> str:
    return "\n".join(key_problems(read_configuration(names, settings)))


@pytest.fixture
def overlay(tmp_path):
    """Problems of inference.json with an overlay of this content."""

    def write(content: dict) -> str:
        path = tmp_path / "overlay.json"
        path.write_text(json.dumps(content))
        return problems([*files("inference.json"), str(path)])

    return write


@pytest.fixture
def weights(tmp_path) -> Path:
    """A folder with weights of the shipped shape for both networks."""
    parser = ConfigParser()
    parser.read_config(files("inference.json"))
    (tmp_path / "models").mkdir()
    for name, network in (("model", "network_def"), ("model_localizer", "localizer_def")):
        torch.save(parser.get_parsed_content(network).state_dict(), tmp_path / "models" / f"{name}.pt")
    return tmp_path / "models"


ONE_STAGE = ("train_localizer", "system_cai2018.json")


@pytest.mark.parametrize(
    ("kind", "system"), [(kind, system) for kind in KINDS for system in SYSTEMS if (kind, system) != ONE_STAGE]
)
def test_the_bundles_own_configurations_are_sound(kind, system):
    assert problems(files(*KINDS[kind], *([system] if system else []))) == ""


def test_a_first_stage_that_a_system_lacks_is_refused():
    kind, system = ONE_STAGE
    assert "cai2018, which has none. Leave train_localizer.json out" in problems(files(*KINDS[kind], system))


@pytest.mark.parametrize(
    ("key", "named"),
    [
        ("dataset_di", "Did you mean 'dataset_dir'?"),
        ("region_rule#margin_m", "Did you mean 'margin_mm'?"),
        ("region_rule#minimum_share", "Did you mean 'min_share'?"),
        ("segment#inferer#roi_sze", "Did you mean 'roi_size'?"),
        ("segmnt#spacing_mm", "Did you mean 'segment'?"),
        ("localize_stages#2", "items 0 to 1"),
        ("postprocessing#transforms#1#treshold", "Did you mean 'threshold'?"),
        ("patience", "It belongs to"),
        ("amp#x", "has parts"),
    ],
)
def test_a_mistyped_setting_is_named_with_the_nearest_key(key, named):
    assert named in problems(files("inference.json"), **{key: 1})


def test_settings_that_are_sound_are_not_named():
    settings = {"region_rule#margin_mm": 20, "segment#resampling": "linear", "localize_stages#0": "@localize"}
    assert problems(files("inference.json"), **settings) == ""


def test_a_setting_of_an_alias_names_where_the_part_is():
    named = problems(files("train.json"), **{"patch#patch_size": [8, 8, 8]})
    assert "Set 'segmenter_patch#patch_size' instead" in named


def test_a_part_may_be_set_after_the_whole_was_replaced():
    settings = {"growth": {"_target_": "bundle.cascade.Growth"}, "growth#step_mm": 10}
    assert problems(files("inference.json"), **settings) == ""


@pytest.mark.parametrize(
    ("content", "named"),
    [
        ({"localizer_deff": None}, "Did you mean 'localizer_def'?"),
        ({"region_rule": {"_target_": "bundle.cascade.BoxRul"}}, "Did you mean 'bundle.cascade.BoxRule'?"),
        ({"network_def": {"_target_": "UNett"}}, "Did you mean 'UNet'?"),
        ({"growth": {"_target_": "bundle.cascade.Growth", "step_m": 3}}, "Did you mean 'step_mm'?"),
        ({"segment": {"_target_": "bundle.cascade.Stage"}}, "none for inferer"),
        ({"fusion": "@fuson"}, "Did you mean 'fusion'?"),
        ({"min_share": "$@min_shar / 2"}, "Did you mean 'min_share'?"),
        ({"localizer_def": "%network_de"}, "Did you mean 'network_def'?"),
    ],
)
def test_a_mistake_in_an_overlay_is_named(overlay, content, named):
    assert named in overlay(content)


def test_a_mistyped_member_of_a_group_is_named(tmp_path):
    (tmp_path / "overlay.json").write_text(json.dumps({"train#samplr": None}))
    assert "Did you mean 'train#sampler'?" in problems([*files("train.json"), str(tmp_path / "overlay.json")])


def test_a_path_into_nothing_is_refused(tmp_path):
    (tmp_path / "overlay.json").write_text(json.dumps({"segmnt#spacing_mm": [1, 1, 1]}))
    with pytest.raises(InputError, match="Did you mean 'segment'"):
        read_configuration([*files("inference.json"), tmp_path / "overlay.json"])


def test_an_overlay_may_bring_keys_of_its_own_that_it_refers_to(overlay):
    assert overlay({"my_share": 0.2, "min_share": "@my_share"}) == ""


def test_a_run_id_that_is_not_there_is_named():
    configuration = read_configuration(files("inference.json"), {}, "inferense")
    assert "Did you mean 'inference'?" in "".join(key_problems(configuration))


def test_a_file_that_is_missing_or_no_json_is_refused(tmp_path):
    (tmp_path / "broken.json").write_text("{")
    for name in ("missing.json", "broken.json"):
        with pytest.raises(InputError, match=name):
            read_configuration([tmp_path / name])


def test_settings_are_read_as_monai_reads_them():
    assert parse_settings(["a#b=[1,2]", "c=x=y", "d=1e-3"]) == {"a#b": [1, 2], "c": "x=y", "d": 0.001}
    with pytest.raises(InputError, match="key=value"):
        parse_settings(["amp"])


@pytest.mark.parametrize("kind", ["inference", "evaluate", "train", "train_localizer"])
def test_with_data_and_weights_nothing_is_missing(kind, weights, tmp_path):
    settings = {"bundle_root": str(ROOT), "dataset_dir": str(write_dataset(tmp_path)), "ckpt_dir": str(weights)}
    settings["output_dir"] = str(tmp_path / "output")
    found = resource_problems(read_configuration(files(*KINDS[kind]), settings))
    assert found.problems == []
    # Seven phantoms: four to train, two to validate, one to test.
    assert sorted(found.cases.values()) == ([2, 4] if kind.startswith("train") else [1])
    assert not (tmp_path / "output").exists()


def test_weights_that_do_not_fit_and_data_that_is_not_there_are_named(weights, tmp_path):
    settings = {"bundle_root": str(ROOT), "dataset_dir": str(tmp_path / "nowhere"), "ckpt_dir": str(weights)}
    settings |= {"network_def#out_channels": 2, "localizer_checkpoint": str(weights / "other.pt")}
    text = "\n".join(resource_problems(read_configuration(files("inference.json"), settings)).problems)
    assert "weights must fit the network" in text
    assert "other.pt: the checkpoint of the system default must be a file" in text
    assert "nowhere: the input exists" in text


def test_an_argument_of_a_wrong_value_is_named(tmp_path):
    settings = {"network_def#strides": [2, 2, 2, 2, 2], "checkpoint": str(tmp_path), "network_def#kernel_size": "x"}
    text = "\n".join(resource_problems(read_configuration(files("inference.json"), settings)).problems)
    assert "network: it can be built" in text


def test_versions_are_compared_by_their_first_two_numbers(tmp_path):
    installed = ".".join(torch.__version__.split("+")[0].split(".")[:2])
    (tmp_path / "same.txt").write_text(f"torch=={installed}.99\n")
    (tmp_path / "other.txt").write_text("torch==1.0.0\nnot-installed-anywhere==1.0\n")
    missing, notes = version_findings(tmp_path / "other.txt")
    assert version_findings(tmp_path / "same.txt") == ([], [])
    assert "tested with 1.0.0" in notes[0] and "pip install not-installed-anywhere==1.0" in missing[0]


def test_plan_follows_the_data():
    lines = plan_lines(read_configuration(files("inference.json")))
    steps = [line[:12].strip() for line in lines[1:] if line[:12].strip()]
    assert steps == ["read", "preprocess", "localize", "region", "segment", "fuse", "clean up", "write"]
    text = " ".join(" ".join(lines).split())
    assert all(word in text for word in ("spacing_mm [4, 4, 4]", "margin_mm 30", "roi_size [112, 96, 80]", "/model.pt"))
    assert max(map(len, lines)) <= 120


def test_plan_leaves_out_what_is_not_used():
    lines = plan_lines(read_configuration(files("inference.json", "system_cai2018.json")))
    assert [line.split()[1:] for line in lines if line.startswith("localize")] == [["nothing"]]


def test_command_says_ready_from_a_foreign_folder(weights, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    done = command("--config_file", str(files("train.json")), f"dataset_dir={write_dataset(tmp_path)}")
    assert done.exit_code == 0 and done.stdout.endswith("ready\n")
    assert "scans: 4 train, 2 validate" in done.stdout
    assert f"--bundle_root {ROOT}" in done.stderr


def test_command_ends_with_2_before_anything_is_loaded(tmp_path):
    done = command("region_rule#margin_m=3", f"dataset_dir={tmp_path / 'nowhere'}")
    assert done.exit_code == 2 and done.stdout == ""
    assert "margin_mm" in done.stderr and "nowhere" not in done.stderr


def test_monai_command_line_is_understood():
    argv = [MONAI, "run", "training", "--config_file", "['a.json','b.json']", "--x#y=3", "--amp", "--lr", "-1"]
    names, settings, run_id = monai_run(argv) or ([], {}, "")
    assert (names, run_id) == (["a.json", "b.json"], "training")
    assert {key: settings[key] for key in ("x#y", "amp", "lr")} == {"x#y": 3, "amp": True, "lr": -1}


def test_arguments_of_a_file_are_understood(tmp_path):
    (tmp_path / "arguments.json").write_text(json.dumps({"config_file": "a.json", "x#y": 3}))
    names, settings, run_id = monai_run([MONAI, "run", "--args_file", str(tmp_path / "arguments.json")]) or ([], {}, "")
    assert (names, settings["x#y"], run_id) == (["a.json"], 3, "run")


@pytest.mark.parametrize("value", ["null", "None"])
def test_a_null_that_monai_would_not_take_is_refused(value, monkeypatch):
    monkeypatch.setattr("sys.argv", [MONAI, "run", "--config_file", *files("inference.json"), "--fat_hu", value])
    with pytest.raises(InputError, match=r"--fat_hu.*Write '\$None'"):
        check_command_line()


@pytest.mark.parametrize("value", ["true", "false"])
def test_a_truth_value_that_monai_takes_for_a_text_is_refused(value, monkeypatch):
    monkeypatch.setattr("sys.argv", [MONAI, "run", "--config_file", *files("inference.json"), "--amp", value])
    with pytest.raises(InputError, match=f"--amp.*received {value}. Write {value.title()}."):
        check_command_line()
    with pytest.raises(InputError, match="--amp"):
        parse_settings([f"amp={value}"])


def test_another_command_is_left_alone(monkeypatch):
    assert monai_run(["pytest", "run"]) is None and monai_run([MONAI, "ckpt_export"]) is None
    check_command_line()


def test_a_typo_on_monais_command_line_is_refused(monkeypatch):
    monkeypatch.setattr("sys.argv", [MONAI, "run", "--config_file", *files("inference.json"), "--dataset_di", "x"])
    with pytest.raises(InputError, match="dataset_dir"):
        check_command_line()


def command(*arguments: str):
    app = typer.Typer(pretty_exceptions_enable=False)
    app.command()(check)
    return CliRunner().invoke(app, arguments)
