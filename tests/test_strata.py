"""bundle.evaluation.strata: which group a rendered scan is in, and the scores of the groups."""

from __future__ import annotations

import json

import pytest

from bundle.errors import InputError
from bundle.evaluation.commands import strata
from bundle.evaluation.strata import PROPERTIES, Ranges, read_facts, strata_page

PLAIN = {
    "request": {"anatomy": None},
    "phase": "portal",
    "view": "abdomen",
    "slice_thickness_mm": 1.0,
    "noise_hu": 5.0,
    "metal": "none",
    "starvation": False,
    "motion_mm": 0.0,
    "pancreas_ml": 40.0,
    "fat_share": 0.0,
    "tumour": False,
    "cysts": 0,
    "calcified": False,
}


def row(case: str, dice: float, label_ml: float = 50.0, stage: str = "fine", **more: float) -> dict:
    return {"case": case, "stage": stage, "dice": dice, "label_volume_ml": label_ml, **more}


@pytest.mark.parametrize(("number", "group"), [(0, "0 to 2"), (2, "2 to 3.5"), (3.5, "from 3.5"), (9, "from 3.5")])
def test_a_limit_belongs_to_the_higher_range(number, group):
    assert Ranges("thickness", 2, 3.5)({"thickness": number}) == group


@pytest.mark.parametrize(
    ("request_", "group"),
    [
        ({"anatomy": None}, "drawn body"),
        ({"anatomy": "a.nii.gz"}, "label map"),
        ({"anatomy": "a.nii.gz", "gland": "b.nii.gz"}, "label map, transplanted gland"),
    ],
)
def test_a_scan_is_grouped_by_where_its_anatomy_came_from(request_, group):
    assert PROPERTIES["anatomy"](PLAIN | {"request": request_}) == group


def test_several_artefacts_are_a_group_of_their_own():
    assert PROPERTIES["artefact"](PLAIN | {"metal": "clips", "motion_mm": 2.0}) == "metal and motion"
    assert PROPERTIES["artefact"](PLAIN) == "none"


def test_each_group_has_the_scores_of_its_scans():
    facts = {"a": PLAIN, "b": PLAIN | {"phase": "arterial"}, "c": PLAIN}
    page = strata_page([row("a", 0.6), row("b", 0.9), row("c", 0.8)], facts)
    assert "| all |  | 3 | 0.767 ± 0.153 [0.600, 0.900] |" in page
    assert "| contrast phase | arterial | 1 | 0.900 [0.900, 0.900] | – |" in page
    assert "| contrast phase | portal | 2 | 0.700 ± 0.141 [0.600, 0.800] | 0.600 to 0.800 |" in page


def test_other_stages_and_scans_without_pancreas_are_left_out():
    rows = [row("a", 0.6), row("a", 0.1, stage="coarse"), row("b", 0.0, label_ml=0.0)]
    assert "| all |  | 1 | 0.600 [0.600, 0.600] |" in strata_page(rows, {"a": PLAIN, "b": PLAIN})


def test_vessels_have_a_column_where_they_were_scored():
    assert "vessel_share" in strata_page([row("a", 0.6, vessel_share=0.02)], {"a": PLAIN})
    assert "vessel_share" not in strata_page([row("a", 0.6)], {"a": PLAIN})


def test_a_scan_that_was_not_rendered_is_an_error(tmp_path):
    with pytest.raises(InputError, match="a rendered scan has a file of facts"):
        read_facts(tmp_path, ["a"])


def test_an_evaluation_without_a_table_is_an_error(tmp_path):
    with pytest.raises(InputError, match="it is the table of an evaluation"):
        strata(tmp_path, tmp_path)


def test_the_command_reads_table_and_facts(tmp_path, capsys):
    (tmp_path / "cases.csv").write_text("case,stage,outcome,dice,label_volume_ml\na,fine,ok,0.5,40\n")
    (tmp_path / "facts").mkdir()
    (tmp_path / "facts" / "a.json").write_text(json.dumps(PLAIN))
    strata(tmp_path, tmp_path, tmp_path / "strata.md")
    assert "| lesion | none | 1 | 0.500" in capsys.readouterr().out
    assert (tmp_path / "strata.md").read_text().startswith("| property |")
