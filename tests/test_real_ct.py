"""The shipped weights on the real scans at hand; the bounds lie below what was measured (docs/real_ct.md)."""

from __future__ import annotations

import os
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

import bundle
from bundle.errors import InputError
from bundle.evaluation.real_ct import CASES, evaluate_real_ct, real_ct_page, scan_path
from bundle.read import read_scan

ROOT = Path(__file__).parents[1]
DATA = Path(os.environ.get("PANCREAS_DATA", ROOT.parent / "shared" / "data"))

needs_data = pytest.mark.skipif(
    not all((DATA / case.image).is_file() for case in CASES), reason=f"no real scans in {DATA}; set PANCREAS_DATA"
)


@pytest.fixture(scope="module")
def rows(tmp_path_factory):
    return {row["case"]: row for row in evaluate_real_ct(DATA, tmp_path_factory.mktemp("real"), "cpu")}


@needs_data
def test_every_real_scan_has_a_region(rows):
    assert all(row["regions"] == 1 for row in rows.values())


@needs_data
@pytest.mark.parametrize("case", ["amos_0013_slab", "totalsegmentator_example"])
def test_region_holds_the_gland(rows, case):
    assert rows[case]["roi_recall"] > 0.95


@needs_data
def test_every_real_scan_has_a_pancreas_found_in_it(rows):
    assert {row["outcome"] for row in rows.values()} <= {"ok", "touches_border", "low_confidence"}


@needs_data
def test_arterial_slab_is_outlined(rows):
    assert rows["amos_0013_slab"]["dice"] > 0.65


@needs_data
def test_unenhanced_atrophic_gland_is_outlined_roughly(rows):
    assert rows["totalsegmentator_example"]["dice"] > 0.38


FLIPS = {"left_right_flip": 0, "front_back_flip": 1, "head_feet_flip": 2}  # finding to axis in RAS order
WHOLE = [case for case in CASES if case.name != "amos_0013_slab"]  # a slab shows too little of the organs


@needs_data
@pytest.mark.slow
@pytest.mark.parametrize("finding", FLIPS)
@pytest.mark.parametrize("case", WHOLE, ids=lambda case: case.name)
def test_a_real_scan_that_is_flipped_is_recognised(case, finding, tmp_path):
    with scan_path(DATA / case.image) as path:
        scan = read_scan(path)
    flipped = np.flip(scan[0].numpy(), FLIPS[finding])
    nib.save(nib.Nifti1Image(flipped, scan.affine.numpy()), tmp_path / "flipped.nii.gz")
    result = bundle.segment(tmp_path / "flipped.nii.gz", device="cpu")
    assert finding in [found["name"] for found in result.report["findings"]]
    assert result.outcome in ("low_confidence", "not_found")


def test_folder_without_real_scans_is_refused(tmp_path):
    with pytest.raises(InputError, match="the folder holds the real scans"):
        evaluate_real_ct(tmp_path, tmp_path)


def test_score_without_a_label_is_a_dash():
    row = {"case": "a", "outcome": "ok", "regions": 1, "volume_ml": 80.0, "seconds": 2.0, "remark": "no label"}
    page = real_ct_page([row])
    assert page.splitlines()[2].startswith("| a | ok | 1 | 80 | – |")
