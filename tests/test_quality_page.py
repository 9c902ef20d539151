"""bundle.quality: scored scans, the plan of graded ones, tables and pictures of the page."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from monai.data import MetaTensor

from bundle.cascade.report import CascadeReport
from bundle.errors import InputError
from bundle.evaluation.markdown import fill_in
from bundle.evaluation.tables import write_table
from bundle.files import write_nifti
from bundle.quality.calibration import Calibration
from bundle.quality.graded import GRADES, plan_grades
from bundle.quality.masks import NETWORKS, VOTE
from bundle.quality.opinions import OPINIONS
from bundle.quality.page import real_tables, rendered_tables
from bundle.quality.score import COLUMNS, read_rows, score_scans, with_mask

MODEL = Calibration(("mean_probability",), (0.0,), (1.0,), (1.0,), 0.0, ((0.0, 0.0), (1.0, 1.0)))


def scored(case: str, dice: float, probability: float | None, **others) -> dict:
    known = {"mean_probability": probability, "volume_ml": 0.0 if probability is None else 50.0}
    row = {"case": case, "patient": "p", "outcome": "ok", "phase": "portal", "dice": dice, "label_ml": 60.0}
    return row | {"slice_thickness_mm": 1.0, "noise_hu": 5.0} | dict.fromkeys(OPINIONS) | known | others


GOOD = [scored("a", 0.9, 0.9), scored("b", 0.8, 0.8), scored("c", 0.76, 0.85)]
BAD = [scored("d", 0.5, 0.6), scored("e", 0.6, 0.75), scored("f", 0.4, 0.5)]
ROWS = GOOD + BAD


def test_a_table_of_scores_is_read_as_it_was_written(tmp_path):
    write_table([ROWS[0], scored("g", 0.0, None)], COLUMNS, tmp_path / "s.csv")
    assert read_rows(tmp_path / "s.csv") == [ROWS[0], scored("g", 0.0, None)]


def test_a_table_of_something_else_is_refused(tmp_path):
    (tmp_path / "s.csv").write_text("case,volume\na,3\n")
    with pytest.raises(InputError, match="no column dice, coarse_fine_dice"):
        read_rows(tmp_path / "s.csv")


def test_scans_without_a_mask_have_nothing_to_predict():
    assert with_mask([ROWS[0], scored("g", 0.0, None)]) == [ROWS[0]]


def test_rendered_tables_count_what_is_flagged(tmp_path):
    parts = rendered_tables([*ROWS, scored("g", 0.0, None)], MODEL, tmp_path)
    assert "| all | 6 | 3 | 0.660 | 1.000 (1.00–1.00) | " in parts["rendered"]
    assert "| predicted below 0.75 | 2 | 2 | 0.450 |" in parts["flagged"]
    assert "| predicted 0.75 and more | 4 | 1 | 0.765 |" in parts["flagged"]
    assert (tmp_path / "quality_rendered.png").stat().st_size > 5000


def test_auroc_of_fewer_than_three_bad_masks_is_a_dash(tmp_path):
    assert "| all | 5 | 2 | 0.712 | – | " in rendered_tables(ROWS[:-1], MODEL, tmp_path)["rendered"]


def test_real_tables_have_a_line_for_each_network_and_the_vote(tmp_path):
    rows = [
        {"case": f"c{i}", "network": name, "dice": 0.4 + 0.04 * i + 0.1 * j, "own_agreement": 0.04 * i + 0.1 * j,
         "agreement": 0.04 * i}
        for i in range(12)
        for j, name in enumerate((*NETWORKS, VOTE))
    ]
    lines = real_tables(rows, tmp_path)["real"].splitlines()
    assert [line.split(" | ")[0] for line in lines[2:]] == [
        "| the three networks together", "| network A", "| network B", "| network C", "| majority vote"
    ]
    assert "1.000 (1.00–1.00)" in lines[2]


def test_tables_go_to_their_places_in_the_page(tmp_path):
    page = tmp_path / "q.md"
    page.write_text("before\n<!-- rendered -->\nold\n<!-- end -->\nafter\n")
    fill_in(page, {"rendered": "| new \\1 |"})
    assert page.read_text() == "before\n<!-- rendered -->\n| new \\1 |\n<!-- end -->\nafter\n"


def test_a_page_without_the_place_is_refused(tmp_path):
    (tmp_path / "q.md").write_text("nothing\n")
    with pytest.raises(InputError, match="a place for 'rendered'"):
        fill_in(tmp_path / "q.md", {"rendered": "x"})


def test_each_grade_has_its_scans_and_seeds():
    orders = plan_grades(2, 9610, "validation", [Path("body.nii.gz")], [Path("gland.nii.gz")])
    assert [order.name for order in orders] == [
        f"validation_{seed}_000{i}" for seed in (9610, 9620) for i in range(2)
    ]
    assert [order.settings for order in orders[::2]] == [grade.settings for grade in GRADES]


def test_grades_get_harder():
    thickness, noise = zip(*((g.settings.slice_thickness_mm, g.settings.noise_hu) for g in GRADES))
    for ranges in (thickness, noise):
        assert all(easier[1] <= harder[0] for easier, harder in zip(ranges, ranges[1:]))


class HalfFound:
    """A segmenter that finds the first four voxels of every scan and is of one opinion."""

    calls = 0

    def __init__(self, device: str) -> None:
        pass

    def __call__(self, path: str) -> SimpleNamespace:
        HalfFound.calls += 1
        report = CascadeReport(opinions=dict.fromkeys(OPINIONS) | {"volume_ml": 0.004})
        mask = MetaTensor(torch.zeros(1, 8, 8, 8, dtype=torch.uint8), meta={"cascade": report.to_json()})
        mask[0, :4, 0, 0] = 1
        return SimpleNamespace(mask=mask, outcome="ok")


def write_test_set(folder: Path, *names: str) -> None:
    label = np.zeros((8, 8, 8), dtype=np.uint8)
    label[2:6, 0, 0] = 1
    files = {name: {"image": f"./imagesTs/{name}.nii.gz", "label": f"./labelsTs/{name}.nii.gz"} for name in names}
    for paths in files.values():
        for path in paths.values():
            write_nifti(label, np.eye(4), folder / path)
    entries = [paths | {"patient": "p"} for paths in files.values()]
    (folder / "dataset.json").write_text(json.dumps({"training": [], "test": entries}))


def test_scans_are_scored_once(tmp_path, monkeypatch):
    monkeypatch.setattr("bundle.segmentation.Segmenter", HalfFound)
    write_test_set(tmp_path, "s")
    (tmp_path / "facts").mkdir()
    (tmp_path / "facts" / "s.json").write_text(json.dumps({"noise_hu": 7.5, "phase": "late"}))
    for _ in range(2):
        rows = score_scans(tmp_path, "test", tmp_path / "s.csv")
    assert HalfFound.calls == 1
    names = ("case", "dice", "label_ml", "noise_hu", "phase")
    assert [rows[0][name] for name in names] == ["s", 0.5, 0.004, 7.5, "late"]


def test_a_scan_that_cannot_be_read_does_not_keep_the_others_from_their_score(tmp_path, monkeypatch):
    monkeypatch.setattr("bundle.segmentation.Segmenter", HalfFound)
    write_test_set(tmp_path, "broken", "s")
    (tmp_path / "labelsTs" / "broken.nii.gz").write_bytes(b"no image")
    problems: list[InputError] = []
    rows = score_scans(tmp_path, "test", tmp_path / "s.csv", on_problem=problems.append)
    assert [row["case"] for row in rows] == ["s"]
    assert "broken.nii.gz" in str(problems[0])
