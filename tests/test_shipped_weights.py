"""The weights in models/: they fit the configs, they are small, and they find a gland they have never seen."""

from __future__ import annotations

from pathlib import Path

import nibabel
import numpy as np
import pytest
import torch

from bundle.evaluation.metrics import case_metrics
from bundle.rendering.renderer import render_scan
from bundle.rendering.scanner import ScannerSettings
from bundle.segmentation import Segmenter
from bundle.segmentation.configuration import read_configuration, weight_files

ROOT = Path(__file__).parents[1]
ZOO_LIMIT_BYTES = 25_000_000
SHIPPED = ("default", "cai2018", "roth2018", "xue2019", "zhao2019", "zhu2018")


@pytest.mark.parametrize("system", SHIPPED)
def test_weights_fit_their_networks_and_are_half_precision(system):
    parser = read_configuration(system)
    parser["bundle_root"], parser["device"] = str(ROOT), "cpu"
    networks = [parser.get_parsed_content("network")]
    networks += [parser.get_parsed_content("localizer")] if parser.get("localizer") else []
    files = weight_files(parser)
    assert len(files) == len(networks)
    for path, network in zip(files, networks):
        weights = torch.load(path, weights_only=True)
        assert {name: value.shape for name, value in weights.items()} == {
            name: value.shape for name, value in network.state_dict().items()
        }
        assert {value.dtype for value in weights.values() if value.is_floating_point()} == {torch.float16}


def test_each_file_stays_below_the_limit_of_the_zoo():
    assert all(path.stat().st_size < ZOO_LIMIT_BYTES for path in (ROOT / "models").glob("*.pt"))


def test_model_pt_has_the_shortest_name():
    names = sorted((path.name for path in (ROOT / "models").glob("*.pt")), key=len)
    assert names[0] == "model.pt"


@pytest.fixture(scope="module")
def rendered(tmp_path_factory):
    """A drawn body that is in no data set of the weights, on thick slices to be quick."""
    settings = ScannerSettings(in_plane_spacing_mm=(1.4, 1.4), slice_thickness_mm=(4, 4), share_slab=0)
    scan = render_scan(None, seed=987_654, settings=settings, phase="portal")
    path = tmp_path_factory.mktemp("rendered") / "scan.nii.gz"
    nibabel.save(nibabel.Nifti1Image(scan.image_hu, scan.affine), path)
    return path, scan


def test_an_unseen_drawn_gland_is_found_and_outlined(rendered, tmp_path):
    path, scan = rendered
    result = Segmenter(tmp_path, device="cpu")(path)
    spacing_mm = np.linalg.norm(scan.affine[:3, :3], axis=0).tolist()
    scores = case_metrics(result.mask.numpy()[0] > 0, scan.label == 1, spacing_mm)
    assert result.outcome == "ok"
    assert scores["dice"] > 0.6
    assert {file.name for file in (tmp_path / "scan").iterdir()} == {
        "segmentation.nii.gz",
        "overlay.png",
        "report.html",
        "report.json",
    }


def test_the_mask_lies_on_the_grid_of_the_scan(rendered, tmp_path):
    path, scan = rendered
    Segmenter(tmp_path, device="cpu")(path)
    mask = nibabel.load(tmp_path / "scan" / "segmentation.nii.gz")
    assert mask.shape == scan.image_hu.shape
    np.testing.assert_allclose(mask.affine, scan.affine, atol=1e-4)
