"""Networks as TorchScript and ONNX files: they answer as the originals, or they are not there."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from monai.networks.nets import UNet

from bundle.errors import InputError
from bundle.package import export
from bundle.package.export import export_networks
from tests.phantoms import ROOT

UNET = {"spatial_dims": 3, "in_channels": 2, "out_channels": 3, "channels": [4, 8], "strides": [2]}


@pytest.fixture(scope="module")
def small_bundle(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("bundle")
    for folder in ("configs", "models"):
        (root / folder).mkdir()
    definition = {"_target_": "UNet", **UNET}
    config = {"network_def": definition, "localizer_def": definition}
    (root / "configs" / "inference.json").write_text(json.dumps(config))
    for name in ("model", "model_localizer"):
        torch.save(UNet(**UNET).state_dict(), root / "models" / f"{name}.pt")
    return root


def test_torchscript_of_both_networks_answers_as_the_originals(small_bundle, tmp_path):
    exported = export_networks(small_bundle, tmp_path, ["ts"])
    assert [network.path.name for network in exported] == ["model.ts", "model_localizer.ts"]
    assert all(network.difference <= export.TOLERANCE for network in exported)


def test_exported_file_runs_without_the_network_definition(small_bundle, tmp_path):
    network = torch.jit.load(str(export_networks(small_bundle, tmp_path, ["ts"])[0].path))
    assert network(torch.zeros(1, 2, 16, 24, 32)).shape == (1, 3, 16, 24, 32)


def test_network_that_answers_otherwise_leaves_no_file(small_bundle, tmp_path, monkeypatch):
    write, run = export._FORMATS["ts"]

    def wrong(path, inputs):
        return [answer + 1 for answer in run(path, inputs)]

    monkeypatch.setitem(export._FORMATS, "ts", (write, wrong))
    with pytest.raises(InputError, match="answers as the original.*difference of 1"):
        export_networks(small_bundle, tmp_path, ["ts"])
    assert list(tmp_path.iterdir()) == []


def test_unknown_format_is_refused(small_bundle, tmp_path):
    with pytest.raises(InputError, match="ts, onnx.*received h5"):
        export_networks(small_bundle, tmp_path, ["h5"])


@pytest.mark.slow
def test_shipped_networks_answer_the_same_as_torchscript_and_onnx(tmp_path):
    command = [sys.executable, "-m", "bundle", "export", "--output", str(tmp_path)]
    finished = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert finished.returncode == 0, finished.stderr
    assert finished.stdout.count("differs by") == 4
    assert {path.suffix for path in tmp_path.iterdir()} == {".ts", ".onnx"}
