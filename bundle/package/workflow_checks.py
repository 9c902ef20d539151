"""Checks that run what a user would run, on phantoms, from another folder. Each returns what it saw, or raises."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bundle.errors import bad_input
from bundle.files import write_nifti
from bundle.package.phantoms import SIZE
from bundle.package.subject import Bundle

_SMALL_NETWORK = {
    "_target_": "UNet",
    "spatial_dims": 3,
    "in_channels": 2,
    "out_channels": 14,
    "channels": [4, 8],
    "strides": [2],
}
_SMALL_NETWORKS = {"network_def": _SMALL_NETWORK, "localizer_def": _SMALL_NETWORK}
_SMALL_TRAINING = {
    **_SMALL_NETWORKS,
    **{f"{stage}#spacing_mm": [6, 6, 6] for stage in ("localize", "segment")},
    **{f"{stage}#inferer#roi_size": [16, 16, 16] for stage in ("localize", "segment")},
    **{f"{stage}_patch#patch_size": [16, 16, 16] for stage in ("localizer", "segmenter")},
    "max_epochs": 1,
    "val_interval": 1,
    "num_workers": 0,
    "amp": False,
}
_SMALL_INFERENCE = {
    **_SMALL_NETWORKS,
    "localize_windows#roi_size": [16, 16, 16],
    "segment#inferer#roi_size": [16, 16, 16],
    "localize#spacing_mm": [6, 6, 6],
    "segment#spacing_mm": [3, 3, 3],
    "amp": False,
}
_LOAD = """
import sys, torch, monai.bundle
name, folder, target = sys.argv[1:]
network = monai.bundle.load(name, bundle_dir=folder, source="github", device="cpu")
torch.save(network.state_dict(), target)
"""


def training(bundle: Bundle) -> str:
    """Both stages train and save their weights, as workflows from another folder, with all required properties."""
    for stage, overlays in (("segmenter", ()), ("localizer", ("train_localizer.json",))):
        work = _workflow(bundle, "train", ["train.json", *overlays], bundle.settings(stage) | _SMALL_TRAINING)
        _require(bundle.scratch / "trained" / f"model{'_localizer' * bool(overlays)}.pt")
        del work
    return "segmenter and localizer"


def evaluation(bundle: Bundle) -> str:
    """Scoring writes its tables."""
    _workflow(bundle, "infer", ["inference.json", "evaluate.json"], bundle.settings("scores") | _SMALL_INFERENCE)
    _require(bundle.scratch / "scores" / "cases.csv")
    return "cases.csv"


def inference(bundle: Bundle) -> str:
    """``create_workflow`` with the shipped weights writes a mask on the scan's own grid."""
    import nibabel

    settings = bundle.settings("masks") | {"ckpt_dir": bundle.path("models")}
    _workflow(bundle, "infer", ["inference.json"], settings)
    mask = next((bundle.scratch / "masks").rglob("segmentation.nii.gz"))
    shape = nibabel.load(mask).shape  # type: ignore[attr-defined]
    if shape != (SIZE,) * 3:
        raise bad_input(mask, "a mask has the size of its scan", shape, "Report it.")
    return f"mask of {shape}"


def two_processes(bundle: Bundle) -> str:
    """Training runs under ``torchrun`` on two processes."""
    settings = bundle.settings("two") | {"ckpt_dir": str(bundle.scratch / "two")} | _SMALL_TRAINING
    settings["config_file"] = [bundle.path(f"configs/{name}") for name in ("train.json", "multi_gpu_train.json")]
    del settings["device"]
    arguments = bundle.scratch / "two.json"
    arguments.write_text(json.dumps(settings))
    launcher = ["torch.distributed.run", "--standalone", "--nproc_per_node=2", "-m", "monai.bundle", "run", "training"]
    command = [sys.executable, "-m", *launcher, "--args_file", str(arguments)]
    _run("torchrun", command, bundle.scratch, CUDA_VISIBLE_DEVICES="")
    _require(bundle.scratch / "two" / "model.pt")
    return "torchrun"


def load(bundle: Bundle) -> str:
    """``monai.bundle.load`` by name, from a folder from where the bundle's code can't be seen, gives the weights.

    And the network segments a rendered scan that no weights have seen.
    """
    import torch

    target = bundle.scratch / "loaded.pt"
    elsewhere = bundle.scratch / "elsewhere"
    elsewhere.mkdir()
    command = [sys.executable, "-c", _LOAD, bundle.root.name, str(bundle.root.parent), str(target)]
    _run("monai.bundle.load", command, elsewhere, PYTHONPATH="")
    loaded = torch.load(target, weights_only=True)
    dice = _dice_of(loaded)
    if dice < 0.5:
        raise bad_input("monai.bundle.load", "the network segments a rendered scan", f"Dice {dice:.2f}", "Report it.")
    return f"Dice {dice:.2f} on a rendered scan"


def _workflow(bundle: Bundle, kind: str, configs: list[str], settings: Mapping[str, Any]) -> Any:
    """Initialize, check and run a workflow as the zoo's unit tests do, and return it."""
    from monai.bundle import create_workflow

    work = create_workflow(
        config_file=[bundle.path(f"configs/{name}") for name in configs],
        meta_file=bundle.path("configs/metadata.json"),
        logging_file=bundle.path("configs/logging.conf"),
        workflow_type=kind,
        **settings,
    )
    missing = work.check_properties()
    if missing:
        raise bad_input(configs[0], "a workflow has MONAI's required properties", ", ".join(missing), "Add them.")
    work.run()
    work.finalize()
    return work


def _dice_of(weights: Mapping[str, Any]) -> float:
    """Return the Dice of the bundle's pipeline with these weights in its segmenter, on a coarse rendered scan."""
    from bundle.evaluation.metrics import case_metrics
    from bundle.geometry import spacing_of
    from bundle.rendering.renderer import render_scan
    from bundle.rendering.scanner import ScannerSettings
    from bundle.segmentation import Segmenter

    settings = ScannerSettings(in_plane_spacing_mm=(1.4, 1.4), slice_thickness_mm=(4, 4), share_slab=0)
    scan = render_scan(None, seed=987_654, settings=settings, phase="portal")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "scan.nii.gz"
        write_nifti(scan.image_hu, scan.affine, path)
        segmenter = Segmenter(device="cpu")
        segmenter.network.load_state_dict(weights)
        mask = segmenter(path).mask.numpy()[0] > 0
    return float(case_metrics(mask, scan.label == 1, spacing_of(scan.affine))["dice"])


def _require(path: Path) -> None:
    if not path.is_file():
        raise bad_input(path, "the workflow writes it", "no such file", "Report it.")


def _run(name: str, command: list[str], folder: Path, **environment: str) -> None:
    done = subprocess.run(command, cwd=folder, env=os.environ | environment, capture_output=True, text=True)
    if done.returncode:
        print(done.stderr)
        lines = [line for line in done.stderr.splitlines() if "Error: " in line or line.startswith("error: ")]
        raise bad_input(name, "the command succeeds", " ".join(lines[-1:]), "See below.")
