"""bundle.evaluation.learning_curve: which scans are trained on, and what the page says."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from bundle.errors import InputError
from bundle.evaluation import steps
from bundle.evaluation.commands import learning_curve as command
from bundle.evaluation.learning_curve import curve_page, learning_curve
from bundle.evaluation.steps import Budget
from tests.experiment_steps import take_steps

BUDGET = Budget(minutes=1, threads=1)


@pytest.fixture
def data(tmp_path) -> Path:
    names = {"training": [f"{n}.nii" for n in range(6)], "validation": ["v.nii"], "test": ["t.nii"]}
    for name in sum(names.values(), []):
        (tmp_path / name).touch()
    content = {section: [{"image": name, "label": name} for name in files] for section, files in names.items()}
    (tmp_path / "dataset.json").write_text(json.dumps(content))
    return tmp_path


@pytest.fixture
def asked(monkeypatch) -> list[dict]:
    """Arguments of the steps, which a stand-in takes: more scans, more Dice."""

    def dice(arguments: dict) -> list[float]:
        count = int(Path(arguments["output_dir"]).parent.name.split("_")[0])
        return [0.5 + count / 20, 0.6 + count / 20]

    return take_steps(monkeypatch, dice)


def images(arguments: dict) -> set[str]:
    content = json.loads(Path(arguments["dataset_dir"]).read_text())
    return {Path(entry["image"]).name for entry in content["training"]}


def test_fewer_scans_are_among_more(data, asked, tmp_path):
    learning_curve(data, tmp_path / "out", BUDGET, counts=(2, 5))
    fewer, more = (images(arguments) for arguments in asked if "max_minutes" in arguments)
    assert (len(fewer), len(more)) == (2, 5) and fewer < more


def test_without_scans_the_shipped_weights_are_scored(data, asked, tmp_path):
    learning_curve(data, tmp_path / "out", BUDGET, counts=(0,))
    (scoring,) = asked
    assert scoring["checkpoint"] == str(steps.BUNDLE_ROOT / "models" / "model.pt")


def test_all_are_scored_on_the_same_scans_with_their_own_weights(data, asked, tmp_path):
    learning_curve(data, tmp_path / "out", BUDGET, counts=(0, 2))
    scorings = [arguments for arguments in asked if "max_minutes" not in arguments]
    assert {arguments["dataset_dir"] for arguments in scorings} == {str(data)}
    assert scorings[1]["checkpoint"] == str(tmp_path / "out" / "2_scans" / "models" / "model.pt")


def test_what_is_done_is_not_done_again(data, asked, tmp_path):
    for _ in range(2):
        learning_curve(data, tmp_path / "out", BUDGET, counts=(0, 2))
    assert len(asked) == 3


def test_differences_are_paired_with_the_smallest_number(data, asked, tmp_path):
    page = learning_curve(data, tmp_path / "out", BUDGET, counts=(0, 2))
    assert "| 0 | 0.550 ± 0.071 [0.500, 0.600] | – | – | – |" in page
    assert "| 2 | 0.650 ± 0.071 [0.600, 0.700] | +0.100 | +0.100 to +0.100 |" in page
    assert (tmp_path / "out" / "learning_curve.png").is_file()


def test_the_page_names_the_budget():
    rows = [{"case": "a", "stage": "fine", "outcome": "ok", "label_volume_ml": 50.0, "dice": 0.5}]
    assert "1 test scans; each fine-tuning took 3 min" in curve_page({0: rows}, "3 min")


def test_too_few_scans_are_an_error(data, tmp_path):
    with pytest.raises(InputError, match="it has 7 training scans; received 6"):
        learning_curve(data, tmp_path / "out", BUDGET, counts=(0, 7))


def test_counts_that_are_no_numbers_are_an_error(data, tmp_path):
    with pytest.raises(InputError, match="list of numbers; received '0,many'"):
        command(data, tmp_path / "out", counts="0,many")
