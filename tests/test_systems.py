"""The published systems as overlays: each trains, segments and is scored, on tiny phantoms with narrow networks."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from ignite.engine import Events
from monai.bundle import ConfigParser, ConfigWorkflow

from bundle.cascade import CascadeReport
from tests.phantoms import ROOT, common_settings, write_dataset

SYSTEMS: dict[str, dict] = {
    "cai2018": {
        "cnn#units": 2,
        "width": 0.125,
        "segmenter_patch#patch_size": [64, 64, 8],
        "learning_rate": 0.02,
    },
    "roth2018": {
        "width": 0.0625,
        "localize#inferer#output_size": [36, 36, 36],
        "segment#inferer#output_size": [36, 36, 36],
        "stride": None,
        "segmenter_patch#patch_size": [92, 92, 92],
    },
    "xue2019": {
        "width": 0.0625,
        "step": [64, 64, 16],
        "batch_size": 4,
        "crf#iterations": 1,
        "crf#step": 1,
    },
    "zhao2019": {"width": 0.0625, "learning_rate": 0.01},
    "zhu2018": {
        "width": 0.125,
        "localize#inferer#count": 0,
        "segment#inferer#count": 1,
        "segmenter_patch#patch_size": [32, 32, 32],
        "localizer_patch#patch_size": [48, 48, 48],
        "learning_rate": 0.05,
    },
}
"""What makes a system small, by name."""


@pytest.fixture(scope="module")
def dataset(tmp_path_factory) -> Path:
    return write_dataset(tmp_path_factory.mktemp("phantoms"))


@pytest.fixture(autouse=True)
def foreign_folder(tmp_path, monkeypatch):
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")


def files(*names: str) -> list[str]:
    return [str(ROOT / "configs" / name) for name in names]


def overrides(system: str, dataset: Path, output: Path, **more) -> dict:
    return common_settings(dataset, output) | {"amp": False} | SYSTEMS[system] | more


def train(system: str, stage: str, dataset: Path, output: Path, **more) -> list[float]:
    """Losses of a few epochs."""
    stage_files = ["train_localizer.json"] if stage == "localizer" else []
    settings = overrides(system, dataset, output, max_epochs=5, val_interval=5) | more
    names = files("train.json", *stage_files, f"system_{system}.json")
    work = ConfigWorkflow(names, workflow_type="train", logging_file=False, **settings)
    work.initialize()
    values: list[float] = []
    work.trainer.add_event_handler(Events.ITERATION_COMPLETED, lambda e: values.append(e.state.output[0]["loss"]))
    work.run()
    work.finalize()
    return values


def stages(system: str) -> tuple[str, ...]:
    return ("segmenter",) if system == "cai2018" else ("localizer", "segmenter")


@pytest.fixture(scope="module", params=sorted(SYSTEMS))
def trained(request, dataset, tmp_path_factory) -> tuple[str, Path, dict[str, list[float]]]:
    """Name, output folder and losses by stage of a system whose stages were trained one after the other."""
    output = tmp_path_factory.mktemp(request.param)
    losses = {stage: train(request.param, stage, dataset, output) for stage in stages(request.param)}
    return request.param, output, losses


def test_training_lowers_the_loss_of_both_stages(trained):
    _, _, losses = trained
    for values in losses.values():
        assert all(torch.isfinite(torch.tensor(values)))
        assert sum(values[-4:]) < sum(values[:4])


def test_weights_are_named_after_the_system(trained):
    system, output, _ = trained
    names = {path.name for path in (output / "models").iterdir()}
    wanted = {"segmenter": f"model_{system}.pt", "localizer": f"model_localizer_{system}.pt"}
    assert names == {wanted[stage] for stage in stages(system)}


def test_inference_ends_in_a_typed_outcome(trained, dataset, tmp_path):
    system, output, _ = trained
    settings = overrides(system, dataset, tmp_path, ckpt_dir=str(output / "models"), batch_size=1)
    work = ConfigWorkflow(
        files("inference.json", f"system_{system}.json"), workflow_type="infer", logging_file=False, **settings
    )
    work.initialize()
    work.run()
    pred = work.evaluator.state.output[0]["pred"]
    assert pred.shape == (1, 64, 64, 64)
    assert CascadeReport.from_json(pred.meta["cascade"]).outcome in ("ok", "not_found")
    assert json.loads(next(tmp_path.glob("*/report.json")).read_text())["system"] == system


def test_evaluation_writes_its_tables(trained, dataset, tmp_path):
    system, output, _ = trained
    settings = overrides(system, dataset, tmp_path, ckpt_dir=str(output / "models"), batch_size=1)
    names = files("inference.json", "evaluate.json", f"system_{system}.json")
    work = ConfigWorkflow(names, workflow_type="infer", logging_file=False, **settings)
    work.initialize()
    work.run()
    work.finalize()
    assert (tmp_path / "cases.csv").is_file()


@pytest.mark.parametrize("system", sorted(SYSTEMS))
def test_an_overlay_is_short(system):
    assert len((ROOT / "configs" / f"system_{system}.json").read_text().splitlines()) <= 62


@pytest.mark.parametrize("system", sorted(SYSTEMS))
def test_an_overlay_names_its_system(system):
    parser = ConfigParser()
    parser.read_config(files("inference.json", f"system_{system}.json"))
    assert parser.get_parsed_content("suffix") == f"_{system}"
