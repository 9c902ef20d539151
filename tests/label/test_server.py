"""The bundle in the real MONAI Label server, over a folder of NIfTI files."""

from __future__ import annotations

import shutil
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

import bundle
from bundle.package.contents import NAME
from tests.label.server import Answer, Server, dice, start_server, start_stock_server

pytestmark = pytest.mark.label


@dataclass(frozen=True)
class Asked:
    """A server, and its answer about the rendered scan.

    Attributes:
        server: still running.
        answer: to ``scan``.
        mask: the file of the mask.
    """

    server: Server
    answer: Answer
    mask: Path


@pytest.fixture(scope="module")
def studies(rendered, tmp_path_factory) -> Path:
    """The rendered scan, its feet end without the pancreas, a picture in grey levels and a broken file."""
    folder = tmp_path_factory.mktemp("studies")
    shutil.copyfile(rendered.image, folder / "scan.nii.gz")
    scan = nib.load(rendered.image)
    voxels = np.asanyarray(scan.dataobj)
    nib.save(nib.Nifti1Image(voxels[..., :12], scan.affine), folder / "feet_end.nii.gz")
    grey = np.clip((voxels + 1000) / 8, 0, 255).astype(np.uint8)
    nib.save(nib.Nifti1Image(grey, scan.affine), folder / "grey.nii.gz")
    (folder / "broken.nii.gz").write_text("no scan")
    return folder


@pytest.fixture(scope="module")
def asked(studies, tmp_path_factory) -> Iterator[Asked]:
    folder = tmp_path_factory.mktemp("server")
    with start_server(folder, studies) as server:
        answer = server.infer("scan")
        assert answer.status == 200, answer.params
        yield Asked(server, answer, answer.save(folder))


def test_the_models_are_listed_with_the_label_and_the_weights(asked):
    models = asked.server.get("/info/")["models"]
    kinds = {name: model["type"] for name, model in models.items()}
    assert kinds == {NAME: "segmentation", "pancreas_clicks": "deepgrow"}
    for model in models.values():
        assert model["labels"] == {"pancreas": 1}
        assert model["config"]["model_filename"] == ["model.pt", "model_shipped.pt"]


def test_the_mask_lies_on_the_scan_and_finds_the_pancreas(asked, rendered):
    mask, scan = nib.load(asked.mask), nib.load(rendered.image)
    assert mask.shape == scan.shape and np.allclose(mask.affine, scan.affine, atol=1e-3)
    assert dice(asked.mask, rendered.truth) > 0.7


def test_the_mask_is_that_of_the_bundle_itself(asked, rendered):
    own = bundle.segment(rendered.image, device="cpu").mask
    served = np.asanyarray(nib.load(asked.mask).dataobj) > 0
    both = np.asarray(own[0]) > 0
    assert 2 * (served & both).sum() / (served.sum() + both.sum()) > 0.99


def test_outcome_volume_and_predicted_dice_come_with_the_mask(asked):
    params = asked.answer.params
    mask = nib.load(asked.mask)
    volume_ml = np.count_nonzero(mask.dataobj) * abs(np.linalg.det(mask.affine[:3, :3])) / 1000
    assert params["outcome"] in ("ok", "low_confidence", "touches_border")
    assert params["volume_ml"] == pytest.approx(volume_ml, abs=0.01)
    assert 0 < params["predicted_dice"] < 1
    assert params["label_names"] == {"pancreas": 1}


def test_other_weights_can_be_chosen(asked):
    answer = asked.server.infer("scan", model_filename="model_shipped.pt")
    assert list(answer.params["weights_sha256"]) == ["model_shipped.pt"]
    assert list(asked.answer.params["weights_sha256"]) == ["model.pt"]


def test_every_other_speed_that_is_offered_finds_the_pancreas(asked, rendered, tmp_path):
    config = asked.server.get("/info/")["models"][NAME]["config"]
    for speed in config.get("speed", [])[1:]:
        assert dice(asked.server.infer("scan", speed=speed).save(tmp_path), rendered.truth) > 0.7


def test_clicks_change_the_mask_where_they_are(asked, tmp_path):
    voxels = np.argwhere(np.asanyarray(nib.load(asked.mask).dataobj))
    click = voxels[len(voxels) // 2].tolist()
    answer = asked.server.infer("scan", model="pancreas_clicks", foreground=[], background=[click])
    assert answer.status == 200, answer.params
    assert np.asanyarray(nib.load(answer.save(tmp_path)).dataobj)[tuple(click)] == 0


def test_a_scan_without_the_organs_has_an_empty_mask_and_says_why(asked, tmp_path):
    answer = asked.server.infer("feet_end")
    assert answer.status == 200
    assert answer.params["outcome"] in ("outside_field_of_view", "not_found") and answer.params["reason"]
    assert not np.any(nib.load(answer.save(tmp_path)).dataobj)


@pytest.mark.parametrize(
    ("study", "words"),
    [("broken", "broken.nii.gz: the image can be read"), ("grey", "grey.nii.gz: intensities are Hounsfield units")],
)
def test_a_study_that_cannot_be_used_is_refused_in_words(asked, study, words):
    answer = asked.server.infer(study)
    assert answer.status == 422
    assert answer.params["detail"]["outcome"] == "invalid_input"
    assert answer.params["detail"]["reason"].startswith(words)


def test_an_unknown_study_and_an_unknown_model_are_not_found(asked):
    for answer in (asked.server.infer("nobody"), asked.server.infer("scan", model="nothing")):
        assert answer.status == 404 and "no" in answer.params["detail"]["reason"]


def test_parameters_that_are_no_json_are_a_bad_request(asked):
    form = "application/x-www-form-urlencoded"
    status, _, body = asked.server.call(f"/infer/{NAME}?image=scan", "POST", b"params=%7Bbroken", form)
    assert status == 400 and b"Traceback" not in body


def test_the_server_goes_on_after_bad_studies(asked):
    assert asked.server.infer("broken").status == 422
    assert asked.server.get("/info/")["models"]


def test_a_page_from_elsewhere_may_not_read_the_answers(asked):
    request = urllib.request.Request(f"{asked.server.url}/info/", headers={"Origin": "http://elsewhere.example"})
    with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=60) as answer:
        assert "access-control-allow-origin" not in {name.lower() for name in answer.headers}


def test_the_stock_app_loads_the_bundle_as_it_is_packed_and_segments(studies, rendered, tmp_path):
    with start_stock_server(tmp_path / "stock", studies) as server:
        assert list(server.get("/info/")["models"]) == [NAME]
        answer = server.infer("scan")
    assert answer.status == 200, answer.params
    assert dice(answer.save(tmp_path), rendered.truth) > 0.7
