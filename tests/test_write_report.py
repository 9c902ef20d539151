from __future__ import annotations

import hashlib
import json
import os

import numpy as np
import torch
from monai.data import MetaTensor

from bundle.cascade.report import CascadeReport
from bundle.geometry import Box
from bundle.write import SaveMaskd, SaveReportd, case_report, failure_report, write_report


def volume(value: int) -> MetaTensor:
    meta = {"affine": torch.diag(torch.tensor([1.0, 2.0, 5.0, 1.0])), "filename_or_obj": "scan.nii.gz"}
    return MetaTensor(torch.full((1, 4, 5, 10), value, dtype=torch.uint8), meta={**meta, "seconds_read": 0.25})


def test_the_report_tells_volume_grid_and_file():
    report = case_report("a", volume(1), volume(0))
    assert report["outcome"] == "ok"
    assert report["volume_ml"] == 2.0  # 200 voxels of 10 mm3
    assert report["shape"] == [4, 5, 10]
    assert report["spacing_mm"] == [1.0, 2.0, 5.0]
    assert report["input_file"] == "scan.nii.gz"
    assert report["peak_memory_mb"] > 10
    assert {"bundle", "monai", "torch", "numpy"} <= set(report["versions"])


def test_an_empty_mask_is_not_found():
    assert case_report("a", volume(0), volume(0))["outcome"] == "not_found"


def test_the_cascade_tells_outcome_reason_boxes_and_seconds():
    mask = volume(1)
    box = Box((0, 1, 2), (3, 4, 5))
    mask.meta["cascade"] = CascadeReport("not_found", "too small", [box], {"localize": 1.5})
    report = case_report("a", mask, volume(0))
    assert (report["outcome"], report["reason"]) == ("not_found", "too small")
    assert report["boxes"] == [json.loads(json.dumps(box.as_dict()))]
    assert report["seconds"] == {"read": 0.25, "localize": 1.5}


def test_weights_are_told_by_their_hash(tmp_path):
    (tmp_path / "model.pt").write_bytes(b"weights")
    report = case_report("a", volume(1), volume(0), weights=[tmp_path / "model.pt", tmp_path / "none.pt", None])
    assert report["weights_sha256"] == {"model.pt": hashlib.sha256(b"weights").hexdigest()}


def test_the_file_is_plain_json(tmp_path):
    report = {"a": np.float32(0.5), "b": float("nan"), "c": torch.ones(2), 3: (1, None), "path": tmp_path}
    write_report(report, tmp_path / "r.json")
    expected = {"a": 0.5, "b": None, "c": [1.0, 1.0], "3": [1, None], "path": str(tmp_path)}
    assert json.loads((tmp_path / "r.json").read_text()) == expected


def test_the_time_of_writing_is_in_the_report(tmp_path):
    data = SaveReportd("pred", tmp_path, system="default")(
        SaveMaskd("pred", tmp_path)({"image": volume(0), "pred": volume(1), "case": "a"})
    )
    report = json.loads((tmp_path / "a" / "report.json").read_text())
    assert report == data["report"]
    assert report["seconds"]["write"] >= 0
    assert report["system"] == "default"


def test_a_scan_without_mask_has_a_report_of_its_own():
    report = failure_report("a", "a.nii", "invalid_input", "a.nii: a scan has three dimensions")
    assert (report["outcome"], report["volume_ml"]) == ("invalid_input", None)


def test_weights_that_were_trained_since_have_another_hash(tmp_path):
    weights = tmp_path / "model.pt"
    for content in (b"before", b"after"):
        weights.write_bytes(content)
        os.utime(weights, ns=(0, len(content)))
        report = case_report("a", volume(1), volume(0), weights=[weights])
    assert report["weights_sha256"] == {"model.pt": hashlib.sha256(b"after").hexdigest()}
