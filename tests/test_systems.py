"""The published systems as overlays: each trains, segments and is scored, on tiny phantoms with narrow networks."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from monai.bundle import ConfigParser, ConfigWorkflow

from bundle.cascade import CascadeReport
from tests.phantoms import ROOT, write_dataset
from tests.tiny_systems import SYSTEMS, files, infer, overrides, stages, train


@pytest.fixture(scope="module")
def dataset(tmp_path_factory) -> Path:
    return write_dataset(tmp_path_factory.mktemp("phantoms"))


@pytest.fixture(autouse=True)
def foreign_folder(tmp_path, monkeypatch):
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")


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
    work = infer(system, output / "models", dataset, tmp_path)
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
