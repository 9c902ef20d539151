"""Every key that docs/systems.md names for an ablation: with it, a system still trains and segments."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from bundle.cascade import CascadeReport
from tests.phantoms import write_dataset
from tests.tiny_systems import infer, stages, train

pytestmark = pytest.mark.slow

REPLACE = {"_target_": "bundle.cascade.Replace"}
TIGHT_BOX = {"_target_": "bundle.cascade.BoxRule", "margin_voxels": 10, "min_share": 1, "on_scan_grid": True}

DIVISORS = [
    f"{part}#divisor" for part in ("localizer_patch", "segmenter_patch", "localize#inferer", "segment#inferer")
]

ABLATIONS: dict[str, list[dict[str, Any]]] = {
    "xue2019": [
        {"window": [32, 32, 16], "step": [32, 32, 16]},
        {"window": [128, 128, 16], "step": [128, 128, 16]},
        {"step": [32, 32, 8]},
        {"merge": "vote"},
        {"network_def#network#skeleton": "none", "segmenter_loss#lambda_skeleton": 0},
        {"network_def#network#dense": False},
        {"network_def#network#consistency": False},
        {"crf": None},
        {"norm": None},
        {"norm": ["instance", {"affine": True}]},
        {"windows#clip_hu": None},
        {"segmenter_loss#lambda_skeleton": 0.1},
        {"target_transforms#0#mode": "volume"},
    ],
    "zhao2019": [
        {"segmenter_loss#weights": [1, 0]},
        {"segmenter_loss#until_epoch": [None, 1]},
        {"segmenter_loss#terms#0#variant": "foreground"},
        {"segmenter_loss#terms#0#variant": "sum"},
        {"fusion": REPLACE},
        {"fusion#with_localizer": False, "fusion#need": 1},
        {"region_rule": TIGHT_BOX, "fusion": REPLACE},
        {"localize#downsample": 2, "localize#resampling": "linear"},
        {"channels": [2, 4, 8, 16, 16], **dict.fromkeys(DIVISORS, 16)},
    ],
    "cai2018": [
        {"map_loss": {"_target_": "bundle.losses.VoxelCrossEntropyLoss"}},
        {"map_loss": {"_target_": "bundle.losses.BalancedCrossEntropyLoss"}},
        {"map_loss#reduction": "slice"},
        {"cnn#units": 3},
        {"recurrent": False},
        {"peephole": "none"},
        {"network_def#recurrence#gain": 0},
        {"network_growth": None},
        {"network_def#freeze_norm": 0},
    ],
    "zhu2018": [
        {"network_def#long": "sum", "network_def#short": "sum"},
        {"network_def#long": "none", "network_def#short": "sum"},
        {"network_def#long": "none", "network_def#short": "none", "network_def#decoder_convs": 0},
        {"network_def#long": "concat"},
        {"network_def#deep": False},
        {"localize#inferer#count": 1, "segment#inferer#count": 2},
        {"segment#inferer#merge": "vote"},
        {"min_share": 0.05},
        {"region_rule#margin_mm": 5},
    ],
    "roth2018": [
        {"hits": [2, 2, 1]},
        {"localize#inferer": {"_target_": "bundle.cascade.TileInferer", "output_size": [44, 44, 28], "halo": 44}},
        {"dilation": 0},
        {"region_threshold": 0.6},
        {"classes": ["background", "pancreas", "portal_veins", "liver", "spleen", "stomach"]},
        {"segmenter_patch#sigma": 0, "segmenter_patch#rotate_deg": 0},
        {"segmenter_patch#translate": 20, "segmenter_patch#patch_size": [132, 132, 116]},
        {"segmenter_patch#case_weights": False},
        {"segmenter_loss#normaliser": "voxels"},
    ],
}


def named(system: str, settings: dict[str, Any]) -> str:
    words = (f"{key}={value.get('_target_') if isinstance(value, dict) else value}" for key, value in settings.items())
    return f"{system}:{','.join(words)}"


CASES = [
    pytest.param(system, settings, id=named(system, settings))
    for system, several in ABLATIONS.items()
    for settings in several
]


@pytest.fixture(scope="module")
def dataset(tmp_path_factory) -> Path:
    return write_dataset(tmp_path_factory.mktemp("phantoms"))


@pytest.mark.parametrize(("system", "settings"), CASES)
def test_a_system_trains_and_segments_with_the_key_of_an_ablation(system, settings, dataset, tmp_path, monkeypatch):
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    for stage in stages(system):
        losses = torch.tensor(train(system, stage, dataset, tmp_path, batch_size=1, **settings))
        # Patches differ in how much of the organ they hold, and losses with them: one of the later ones is lower.
        assert losses.isfinite().all() and losses[1:].min() < losses[0]
    work = infer(system, tmp_path / "models", dataset, tmp_path, **settings)
    pred = work.evaluator.state.output[0]["pred"]
    assert CascadeReport.from_json(pred.meta["cascade"]).outcome in ("ok", "not_found")
