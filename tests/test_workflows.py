"""The configs as MONAI runs them, on 64-voxel phantoms with tiny networks, from another folder than the bundle's."""

from __future__ import annotations

import json
import math
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from ignite.engine import Events
from monai.bundle import ConfigWorkflow

from bundle.cascade import CascadeReport
from bundle.errors import input_error
from bundle.rendering.anatomy import Anatomy, write_anatomy
from bundle.rendering.tissues import Tissue
from tests.phantoms import ROOT, common_settings, write_dataset
from tests.slice_phantoms import write_slices

UNET = {"_target_": "UNet", "spatial_dims": 3, "in_channels": 2, "out_channels": 14, "channels": [4, 8], "strides": [2]}
# Crops of one size without anything random, so that two runs differ in what is compared alone.
CROP = {"_target_": "ResizeWithPadOrCropd", "keys": ["image", "label"], "spatial_size": [16, 16, 16]}


@pytest.fixture(scope="module")
def dataset(tmp_path_factory) -> Path:
    return write_dataset(tmp_path_factory.mktemp("phantoms"))


def common(dataset: Path, output: Path) -> dict:
    return common_settings(dataset, output) | {"network_def": UNET, "localizer_def": UNET}


def training(dataset: Path, output: Path, **more) -> dict:
    settings = {
        "max_epochs": 1,
        "val_interval": 1,
        **{f"{stage}#spacing_mm": [6, 6, 6] for stage in ("localize", "segment")},
        **{f"{stage}#inferer#roi_size": [16, 16, 16] for stage in ("localize", "segment")},
        **{f"{stage}_patch#patch_size": [16, 16, 16] for stage in ("localizer", "segmenter")},
        "amp": False,
    }
    return common(dataset, output) | settings | more


def deterministic(dataset: Path, output: Path, **more) -> dict:
    settings = {"segmenter_patch": CROP, "augmentation": [], "train#dataloader#shuffle": False, "batch_size": 2}
    return training(dataset, output, **(settings | more))


def inference(dataset: Path, output: Path, **more) -> dict:
    windows = {"localize_windows#roi_size": [16, 16, 16], "segment#inferer#roi_size": [16, 16, 16]}
    spacing = {"localize#spacing_mm": [6, 6, 6], "segment#spacing_mm": [3, 3, 3]}
    return common(dataset, output) | windows | spacing | {"amp": False} | more


def workflow(kind: str, configs: list[str], overrides: dict) -> ConfigWorkflow:
    return ConfigWorkflow(
        config_file=[str(ROOT / "configs" / name) for name in configs],
        meta_file=str(ROOT / "configs" / "metadata.json"),
        logging_file=False,
        workflow_type=kind,
        **overrides,
    )


def run(kind: str, configs: list[str], overrides: dict) -> ConfigWorkflow:
    """What ``monai.bundle.run`` does, with MONAI's check that nothing that a workflow must have is missing."""
    work = workflow(kind, configs, overrides)
    work.initialize()
    assert not work.check_properties()
    work.run()
    work.finalize()
    return work


def losses(work: ConfigWorkflow) -> list[float]:
    """Filled with the loss of every iteration while the workflow runs."""
    values: list[float] = []
    work.trainer.add_event_handler(Events.ITERATION_COMPLETED, lambda e: values.append(e.state.output[0]["loss"]))
    return values


def trained(overrides: dict) -> tuple[list[float], dict[str, torch.Tensor]]:
    """Losses and weights of a training."""
    work = workflow("train", ["train.json"], overrides)
    work.initialize()
    values = losses(work)
    work.run()
    work.finalize()
    return values, work.network_def.state_dict()


@pytest.fixture(autouse=True)
def foreign_folder(tmp_path, monkeypatch):
    """Start every workflow where there is no bundle, and leave torch as it was."""
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    deterministic_before = torch.backends.cudnn.deterministic, torch.backends.cudnn.benchmark
    yield
    torch.backends.cudnn.deterministic, torch.backends.cudnn.benchmark = deterministic_before


@pytest.fixture(scope="module")
def weights(tmp_path_factory) -> Path:
    """A folder with random weights for both stages."""
    from monai.networks.nets import UNet

    folder = tmp_path_factory.mktemp("models")
    network = UNet(3, 2, 14, (4, 8), (2,))
    for name in ("model.pt", "model_localizer.pt"):
        torch.save(network.state_dict(), folder / name)
    return folder


@pytest.mark.parametrize(
    ("overlays", "model", "amp"),
    [([], "model.pt", False), ([], "model.pt", True), (["train_localizer.json"], "model_localizer.pt", False)],
)
def test_training_runs_validates_and_saves_the_best_network(dataset, tmp_path, overlays, model, amp):
    overrides = training(dataset, tmp_path / "output", amp=amp)
    work = run("train", ["train.json", *overlays], overrides)
    saved = torch.load(tmp_path / "output" / "models" / model, weights_only=True)
    assert saved.keys() == work.network_def.state_dict().keys()
    assert 0 <= work.evaluator.state.metrics["val_mean_dice"] <= 1
    assert list((tmp_path / "output").glob("tensorboard_*/events*"))


def test_foreign_folder_stays_empty(dataset, tmp_path):
    run("train", ["train.json"], training(dataset, tmp_path / "output"))
    assert list((tmp_path / "elsewhere").iterdir()) == []


def test_inference_gives_a_mask_on_the_scans_own_grid(dataset, weights, tmp_path):
    work = run("infer", ["inference.json"], inference(dataset, tmp_path, ckpt_dir=str(weights)))
    output = work.evaluator.state.output[0]
    assert output["pred"].shape == (1, 64, 64, 64)
    assert output["pred"].affine.diagonal().tolist() == [-3, -3, 3, 1]
    assert CascadeReport.from_json(output["pred"].meta["cascade"]).outcome in ("ok", "not_found")


def test_evaluation_writes_its_tables(dataset, weights, tmp_path):
    overrides = inference(dataset, tmp_path / "evaluation", ckpt_dir=str(weights))
    run("infer", ["inference.json", "evaluate.json"], overrides)
    assert list((tmp_path / "evaluation").glob("*.csv"))


def test_two_runs_with_one_seed_give_the_same_weights(dataset, tmp_path):
    losses_1, weights_1 = trained(training(dataset, tmp_path / "1"))
    losses_2, weights_2 = trained(training(dataset, tmp_path / "2"))
    assert losses_1 == losses_2
    assert all(torch.equal(weights_1[key], weights_2[key]) for key in weights_1)


def test_another_seed_gives_other_weights(dataset, tmp_path):
    assert trained(training(dataset, tmp_path / "1"))[0] != trained(training(dataset, tmp_path / "2", seed=1))[0]


def test_resumed_training_has_the_loss_where_it_was(dataset, tmp_path):
    straight, weights = trained(deterministic(dataset, tmp_path / "straight", max_epochs=3))
    stopped = workflow("train", ["train.json"], deterministic(dataset, tmp_path / "stopped", max_epochs=3))
    stopped.initialize()
    stopped.trainer.add_event_handler(Events.EPOCH_STARTED(once=3), _stop)
    with pytest.raises(KeyboardInterrupt):
        stopped.run()
    resumed, resumed_weights = trained(deterministic(dataset, tmp_path / "stopped", max_epochs=3))
    # Four scans in pairs: two iterations per epoch.
    assert resumed == straight[4:]
    assert all(torch.equal(weights[key], resumed_weights[key]) for key in weights)


def _stop(engine):
    raise KeyboardInterrupt


@pytest.mark.slow
def test_two_processes_train_as_one_with_the_doubled_batch(dataset, tmp_path):
    # Plain descent: Adam makes full steps of gradients that are rounding errors, those of biases before a norm.
    descent = {"optimizer#_target_": "torch.optim.SGD", "learning_rate": 0.1, "max_epochs": 2}
    _, expected = trained(deterministic(dataset, tmp_path / "one", **descent))
    overrides = deterministic(dataset, tmp_path / "two", batch_size=1, **descent)
    del overrides["train#dataloader#shuffle"]
    overrides["device"] = "cpu"  # as typed on a command line
    overrides["train#sampler#shuffle"] = False
    _torchrun(["train.json", "multi_gpu_train.json"], overrides, tmp_path)
    found = torch.load(tmp_path / "two" / "segmenter_resume.pt", weights_only=True)["network"]
    for key, weight in expected.items():
        torch.testing.assert_close(found[key], weight, atol=1e-5, rtol=1e-4)


def _torchrun(configs: list[str], overrides: dict, folder: Path) -> None:
    files = [str(ROOT / "configs" / name) for name in configs]
    (folder / "arguments.json").write_text(json.dumps(overrides | {"config_file": files}))
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2", "-m"]
    command += ["monai.bundle", "run", "training", "--args_file", str(folder / "arguments.json")]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=1800)
    assert done.returncode == 0, done.stderr


def test_a_training_that_meets_nan_names_the_scan_and_keeps_the_last_good_epoch(dataset, tmp_path):
    settings = training(dataset, tmp_path)
    trained(settings)
    state = (tmp_path / "segmenter_resume.pt").read_bytes()
    broken = {"_target_": "ShiftIntensityd", "keys": "image", "offset": "$float('nan')"}
    work = workflow("train", ["train.json"], settings | {"max_epochs": 2, "augmentation": [broken]})
    work.initialize()
    with pytest.raises(Exception) as raised:
        work.run()
    assert re.match(r"case_\d: the loss is a number; received nan", str(input_error(raised.value)))
    assert (tmp_path / "segmenter_resume.pt").read_bytes() == state


def test_real_slices_join_a_training(dataset, tmp_path):
    slices = {"slices_dir": str(write_slices(tmp_path)), "real_slices#size": 32}
    _, alone = trained(deterministic(dataset, tmp_path / "alone"))
    settings = deterministic(dataset, tmp_path / "with") | slices
    joined = run("train", ["train.json", "train_real_slices.json"], settings).network_def.state_dict()
    assert any(not torch.equal(weight, alone[name]) for name, weight in joined.items())


def test_training_renders_its_scans(dataset, tmp_path):
    tissues = torch.zeros(70, 60, 50, dtype=torch.uint8)
    tissues[10:60, 10:50] = Tissue.FAT
    tissues[20:50, 25:35, 20:28] = Tissue.PANCREAS
    for name in ("anatomy", "glands"):
        write_anatomy(Anatomy(tissues, 3.0, name), tmp_path / name / f"{name}.nii.gz")
    settings = {
        "anatomy_dir": str(tmp_path / "anatomy"),
        "gland_dir": str(tmp_path / "glands"),
        "plan#settings#in_plane_spacing_mm": [4.0, 4.0],
        "plan#procedural_share": 0.0,
        "scans_per_epoch": 2,
        "patches_per_scan": 3,
    }
    work = workflow("train", ["train.json", "train_rendered.json"], training(dataset, tmp_path) | settings)
    work.initialize()
    values = losses(work)
    work.run()
    work.finalize()
    assert len(values) == 6 and all(map(math.isfinite, values))
    assert (tmp_path / "models" / "model.pt").is_file()
