"""The published systems made small enough for tests: narrow networks on phantoms, a few steps of training."""

from __future__ import annotations

from pathlib import Path

from ignite.engine import Events
from monai.bundle import ConfigWorkflow

from tests.phantoms import ROOT, common_settings

SYSTEMS: dict[str, dict] = {
    "cai2018": {
        "cnn#units": 2,
        "width": 0.125,
        "segmenter_patch#patch_size": [64, 64, 8],
        "learning_rate": 0.02,
    },
    "roth2018": {
        "width": 0.0625,
        "region_threshold": 0.5,
        "hits": [1, 1, 1],
        "segmenter_patch#patch_size": [92, 92, 92],
    },
    "xue2019": {
        "width": 0.0625,
        "step": [64, 64, 16],
        "batch_size": 4,
        "dense_crf#iterations": 1,
        "dense_crf#step": 1,
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


def files(*names: str) -> list[str]:
    """Paths of configurations."""
    return [str(ROOT / "configs" / name) for name in names]


def overrides(system: str, dataset: Path, output: Path, **more) -> dict:
    """Settings of a small system."""
    return common_settings(dataset, output) | {"amp": False} | SYSTEMS[system] | more


def stages(system: str) -> tuple[str, ...]:
    """What a system trains, in this order."""
    return ("segmenter",) if system == "cai2018" else ("localizer", "segmenter")


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


def infer(system: str, models: Path, dataset: Path, output: Path, **more) -> ConfigWorkflow:
    """A finished run of inference with the weights in ``models``."""
    settings = overrides(system, dataset, output, ckpt_dir=str(models)) | more | {"batch_size": 1}
    names = files("inference.json", f"system_{system}.json")
    work = ConfigWorkflow(names, workflow_type="infer", logging_file=False, **settings)
    work.initialize()
    work.run()
    return work
