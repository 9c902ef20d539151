"""bundle.evaluation.ablation: how the variants of a training are made and compared."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest
import torch
from monai.bundle import ConfigParser

from bundle.errors import InputError
from bundle.evaluation import ablation as module
from bundle.evaluation import fine_tuning, steps
from bundle.evaluation.ablation import Scores, ablation, ablation_page
from bundle.evaluation.fine_tuning import SHIPPED
from bundle.evaluation.steps import CONFIGS, Budget
from bundle.evaluation.tables import write_table
from tests.slice_phantoms import write_slices

BUDGET = Budget(minutes=1, threads=1)
PLAN = json.loads((CONFIGS / "ablation.json").read_text())


@pytest.fixture
def real(tmp_path) -> Path:
    return write_slices(tmp_path / "real")


@pytest.fixture
def asked(monkeypatch) -> list[dict]:
    """Arguments of the steps and real scans scored, which stand-ins take."""
    taken: list[dict] = []

    def run(command, cwd, env, stdout, stderr):
        arguments = json.loads(Path(command[-1]).read_text())
        taken.append(arguments)
        if command[4] == "training":
            models = Path(arguments["ckpt_dir"])
            models.mkdir(parents=True)
            torch.save(torch.load(SHIPPED, weights_only=True), models / "model.pt")
        else:
            folder = Path(arguments["output_dir"])
            folder.mkdir(parents=True)
            (folder / "cases.csv").write_text("case,stage,outcome,label_volume_ml,dice\na,fine,ok,50,0.5\n")
            (folder / "evaluation.md").touch()
        return subprocess.CompletedProcess(command, 0)

    def real_ct(data, output, checkpoint):
        taken.append({"real_ct": checkpoint})
        return [{"case": "amos_0013_slab", "dice": 0.7}, {"case": "ircadb01"}]

    def fold(slices, settings, folder, device):
        write_table([], ("case",), folder / "slices.csv")
        return [{"case": "0001-1", "common_pixels": 1, "pred_pixels": 3, "label_pixels": 1}]

    monkeypatch.setattr(steps.subprocess, "run", run)
    monkeypatch.setattr(module, "run_fold", fold)
    monkeypatch.setattr(module, "evaluate_real_ct", real_ct)
    monkeypatch.setattr(fine_tuning, "_load_scans", lambda files, settings: None)
    return taken


def run(tmp_path: Path, real: Path, *variants: str) -> str:
    return ablation(tmp_path / "data", real, tmp_path / "out", BUDGET, variants=variants)


def test_the_shipped_weights_are_scored_as_they_are(asked, tmp_path, real):
    page = run(tmp_path, real, "shipped")
    scoring, real_ct = asked
    assert (scoring["section"], scoring["checkpoint"]) == ("validation", str(SHIPPED))
    assert real_ct == {"real_ct": SHIPPED}
    assert "| shipped | 0.500 [0.500, 0.500] | – | 0.700 | – |" in page


def test_a_variant_begins_with_the_shipped_weights_and_is_scored_with_its_own(asked, tmp_path, real):
    run(tmp_path, real, "control")
    training, scoring, _ = asked
    assert training["checkpoint"] == str(SHIPPED)
    assert scoring["checkpoint"] == str(tmp_path / "out" / "control" / "models" / "model.pt")


def test_slices_of_the_scored_patients_are_not_learned_from(asked, tmp_path, real):
    run(tmp_path, real, "real slices")
    files = asked[0]["config_file"]
    overlay = json.loads(Path(files[-1]).read_text())
    assert Path(files[1]).name == "train_real_slices.json"
    assert overlay == {"slices_dir": str(real), "test_fold": 0}


def test_what_is_done_is_not_done_again_and_stays_on_the_page(asked, tmp_path, real):
    run(tmp_path, real, "control")
    page = run(tmp_path, real, "shipped")
    assert len(asked) == 3 + 2
    assert "| control |" in page and "| shipped |" in page


def test_an_unknown_variant_is_an_error(tmp_path, real):
    with pytest.raises(InputError, match="a variant is one of shipped, control, .*; received magic"):
        run(tmp_path, real, "magic")


def test_differences_are_paired_with_the_reference():
    scores = {
        "control": Scores({"a": 0.5, "b": 0.75}, {}, {"p": 0.5, "q": 0.5}),
        "more": Scores({"a": 0.625, "b": 0.875}, {}, {"p": 0.25, "q": 0.25}),
    }
    line = ablation_page(scores, "control", "1 min").splitlines()[-1]
    assert "| +0.125 (+0.125 to +0.125) |" in line and line.endswith("| -0.250 (-0.250 to -0.250) |")


@pytest.mark.parametrize("name", PLAN["variants"])
def test_every_key_of_a_variant_is_one_of_the_training(name, tmp_path):
    variant = PLAN["variants"][name]
    config = ConfigParser()
    config.read_config([str(CONFIGS / file) for file in ("train.json", *variant.get("files", ()))])
    assert all(key.lstrip("+") in config for key in variant.get("overlay", {}))


def test_scans_are_loaded_before_the_clock_runs(asked, tmp_path, real, monkeypatch):
    order = []
    monkeypatch.setattr(fine_tuning, "_load_scans", lambda files, settings: order.append(settings["cache_dir"]))
    run(tmp_path, real, "control")
    assert order == [asked[0]["cache_dir"]] == [str(tmp_path / "out" / "cache")]
