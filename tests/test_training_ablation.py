"""bundle.evaluation.ablation: how the variants of a training are made and compared."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from monai.bundle import ConfigParser

from bundle.errors import InputError
from bundle.evaluation import ablation as module
from bundle.evaluation.ablation import Scores, ablation, ablation_page
from bundle.evaluation.fine_tuning import SHIPPED
from bundle.evaluation.steps import CONFIGS, Budget
from bundle.evaluation.tables import write_table
from bundle.read import label_classes
from bundle.rendering.tissues import CLASSES
from tests.experiment_steps import take_steps
from tests.phantoms import write_dataset
from tests.slice_phantoms import write_slices

BUDGET = Budget(minutes=1, threads=1)
PLAN = json.loads((CONFIGS / "ablation.json").read_text())


@pytest.fixture
def real(tmp_path) -> Path:
    return write_slices(tmp_path / "real")


@pytest.fixture
def asked(monkeypatch) -> list[dict]:
    """Arguments of the steps and real scans scored, which stand-ins take; a step of training tells what is cached."""

    def cached(arguments: dict) -> None:
        arguments["cached"] = len(list(Path(arguments["cache_dir"]).glob("*.pt")))

    def real_ct(data, output, checkpoint):
        taken.append({"real_ct": checkpoint})
        return [{"case": "amos_0013_slab", "dice": 0.7}, {"case": "ircadb01"}]

    def fold(slices, settings, folder, device):
        write_table([], ("case",), folder / "slices.csv")
        return [{"case": "0001-1", "common_pixels": 1, "pred_pixels": 3, "label_pixels": 1}]

    taken = take_steps(monkeypatch, lambda arguments: [0.5], cached)
    monkeypatch.setattr(module, "run_fold", fold)
    monkeypatch.setattr(module, "evaluate_real_ct", real_ct)
    return taken


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> Path:
    return write_dataset(tmp_path_factory.mktemp("data"))


def run(data: Path, tmp_path: Path, real: Path, *variants: str) -> str:
    return ablation(data, real, tmp_path / "out", BUDGET, variants=variants)


def test_the_weights_of_the_start_are_scored_as_they_are(asked, data, tmp_path, real):
    page = run(data, tmp_path, real, "start")
    scoring, real_ct = asked
    assert (scoring["section"], scoring["checkpoint"]) == ("validation", str(SHIPPED))
    assert real_ct == {"real_ct": SHIPPED}
    assert "| start | 0.500 [0.500, 0.500] | – | 0.700 | – |" in page


def test_a_variant_begins_with_the_shipped_weights_and_is_scored_with_its_own(asked, data, tmp_path, real):
    run(data, tmp_path, real, "control")
    training, scoring, _ = asked
    assert training["checkpoint"] == str(SHIPPED)
    assert scoring["checkpoint"] == str(tmp_path / "out" / "control" / "models" / "model.pt")


def test_other_weights_than_the_shipped_may_be_the_start(asked, data, tmp_path, real):
    ablation(data, real, tmp_path / "out", BUDGET, variants=["start", "control"], checkpoint=tmp_path / "a.pt")
    assert [step["checkpoint"] for step in asked if "max_minutes" in step] == [str(tmp_path / "a.pt")]
    assert {"real_ct": tmp_path / "a.pt"} in asked


def test_slices_of_the_scored_patients_are_not_learned_from(asked, data, tmp_path, real):
    run(data, tmp_path, real, "real slices")
    files = asked[0]["config_file"]
    overlay = json.loads(Path(files[-1]).read_text())
    assert Path(files[1]).name == "train_real_slices.json"
    assert overlay == {"slices_dir": str(real), "test_fold": 0}


def test_what_is_done_is_not_done_again_and_stays_on_the_page(asked, data, tmp_path, real):
    run(data, tmp_path, real, "control")
    page = run(data, tmp_path, real, "start")
    assert len(asked) == 3 + 2
    assert "| control |" in page and "| start |" in page


def test_an_unknown_variant_is_an_error(data, tmp_path, real):
    with pytest.raises(InputError, match="a variant is one of start, control, .*; received magic"):
        run(data, tmp_path, real, "magic")


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


def test_scans_are_loaded_before_the_clock_runs(asked, data, tmp_path, real):
    run(data, tmp_path, real, "control")
    assert asked[0]["cache_dir"] == str(tmp_path / "out" / "cache")
    assert asked[0]["cached"] == 4


def test_pancreas_alone_leaves_all_other_organs_of_rendered_scans_out():
    values = PLAN["variants"]["pancreas alone"]["overlay"]["label_values"]
    expected = {value: int(name == "pancreas") for value, name in enumerate(CLASSES)}
    assert label_classes("", values, CLASSES) == expected
