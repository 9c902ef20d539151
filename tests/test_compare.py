"""The systems side by side."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest
import torch

from bundle.errors import InputError
from bundle.evaluation import steps as module
from bundle.evaluation.compare import compare
from bundle.evaluation.comparison_page import Trained, comparison_parts
from bundle.evaluation.steps import Budget

BUDGET = Budget(minutes=1, threads=1)


def rows(*dice: float) -> list[dict]:
    """Scans with pancreas, scored by the cascade with these Dice and by its localizer with half of them."""
    return [
        {"case": f"case_{index}", "stage": stage, "outcome": "ok", "label_volume_ml": 50.0, "dice": value * factor}
        for index, value in enumerate(dice)
        for stage, factor in (("fine", 1.0), ("coarse", 0.5))
    ]


def page(**systems: list[dict]) -> str:
    trained = dict.fromkeys(systems, Trained(2_300_000, {"segmenter": 1500}))
    return "\n\n".join(comparison_parts(systems, {}, "default", trained, str(BUDGET)).values())


def test_each_system_has_its_mean_and_spread():
    assert "| default | 0.350 ± 0.071 [0.300, 0.400] | 0.700 ± 0.141 [0.600, 0.800] |" in page(default=rows(0.6, 0.8))


def test_differences_are_paired_by_case():
    assert "| zhu2018 | 2 | +0.150 | 0.100 to 0.200 |" in page(default=rows(0.6, 0.8), zhu2018=rows(0.5, 0.6))


def test_what_was_not_measured_is_a_dash():
    assert "| – | – | – | – | – | 2.30 |\n" in page(default=rows(0.6, 0.8))


def test_the_cascade_is_paired_with_its_own_coarse_stage():
    assert "| default | 2 | +0.350 | 0.300 to 0.400 |" in page(default=rows(0.6, 0.8))


def test_the_steps_that_the_time_was_enough_for_are_told():
    assert "| default | – | 1500 |" in page(default=rows(0.6, 0.8))


def test_a_variant_is_paired_with_the_system_whose_weights_it_uses():
    trained = {"xue2019": Trained(1, {})}
    variants = {"xue2019": {"crf": rows(0.7, 0.9)}}
    parts = comparison_parts({"xue2019": rows(0.6, 0.6)}, variants, "default", trained, str(BUDGET))
    assert "| xue2019, crf | 2 | +0.200 | 0.100 to 0.300 |" in parts["variants"]


def test_what_the_papers_report_is_marked_as_theirs():
    assert "**theirs, on other scans**" in page(default=rows(0.6, 0.8))


@pytest.fixture
def steps(monkeypatch) -> list[tuple[str, list[str]]]:
    """Run id and configurations of the steps, which a stand-in takes."""
    taken: list[tuple[str, list[str]]] = []

    def run(command, cwd, env, stdout, stderr):
        arguments = json.loads(Path(command[-1]).read_text())
        files = [Path(file).name for file in arguments["config_file"]]
        taken.append((command[4], files))
        if command[4] == "training":
            models = Path(arguments["ckpt_dir"])
            models.mkdir(parents=True, exist_ok=True)
            suffix = next((f"_{name[7:-5]}" for name in files if name.startswith("system_")), "")
            stage = "_localizer" if "train_localizer.json" in files else ""
            torch.save({"weight": torch.zeros(10)}, models / f"model{stage}{suffix}.pt")
        else:
            folder = Path(arguments["output_dir"])
            folder.mkdir(parents=True, exist_ok=True)
            lines = ["case,stage,outcome,label_volume_ml,dice", "a,fine,ok,50,0.5", "b,fine,ok,50,0.6"]
            (folder / "cases.csv").write_text("\n".join(lines) + "\n")
            (folder / "evaluation.md").touch()
        return subprocess.CompletedProcess(command, 0)

    monkeypatch.setattr(module.subprocess, "run", run)
    return taken


def test_both_stages_are_trained_before_the_score(steps, tmp_path):
    compare(tmp_path, tmp_path / "out", BUDGET, systems=["zhu2018"])
    assert steps == [
        ("training", ["train.json", "train_localizer.json", "system_zhu2018.json"]),
        ("training", ["train.json", "system_zhu2018.json"]),
        ("run", ["inference.json", "evaluate.json", "system_zhu2018.json"]),
    ]


def test_a_system_of_one_stage_trains_one(steps, tmp_path):
    compare(tmp_path, tmp_path / "out", BUDGET, systems=["cai2018"])
    assert [run_id for run_id, _ in steps] == ["training", "run"]


def test_what_the_plan_says_of_training_holds_for_all_but_where_a_system_says_otherwise(steps, tmp_path):
    systems = {"zhao2019": {}, "cai2018": {"train": {"learning_rate": 0.005}}}
    plan = {"reference": "zhao2019", "train": {"learning_rate": 0.001, "patience": 7}, "systems": systems}
    (tmp_path / "plan.json").write_text(json.dumps(plan))
    compare(tmp_path, tmp_path / "out", BUDGET, tmp_path / "plan.json")
    asked = [json.loads((tmp_path / "out" / name / "train_segmenter.json").read_text()) for name in systems]
    assert [(each["learning_rate"], each["patience"]) for each in asked] == [(0.001, 7), (0.005, 7)]


def test_what_is_done_is_not_done_again(steps, tmp_path):
    for _ in range(2):
        compare(tmp_path, tmp_path / "out", BUDGET, systems=["zhao2019"])
    assert len(steps) == 3
    assert {path.name for path in (tmp_path / "out").glob("comparison*")} == {
        "comparison.md", "comparison.png", "comparison_costs.png"
    }


def test_an_interrupted_score_is_done_again(steps, tmp_path):
    evaluation = tmp_path / "out" / "default" / "evaluation"
    evaluation.mkdir(parents=True)
    (evaluation / "cases.csv").write_text("case,stage,outcome,label_volume_ml,dice\na,fine,ok,50,0.5\n")
    compare(tmp_path, tmp_path / "out", BUDGET, systems=["default"])
    assert ("run", ["inference.json", "evaluate.json"]) in steps


def test_a_variant_scores_the_same_weights_again_with_its_own_settings(steps, tmp_path):
    plan = {"reference": "cai2018", "systems": {"cai2018": {"variants": {"vote": {"merge": "vote"}}}}}
    (tmp_path / "plan.json").write_text(json.dumps(plan))
    text = compare(tmp_path, tmp_path / "out", BUDGET, tmp_path / "plan.json")
    assert [run_id for run_id, _ in steps] == ["training", "run", "run"]
    asked = json.loads((tmp_path / "out" / "cai2018" / "evaluate_vote.json").read_text())
    assert asked["merge"] == "vote" and asked["output_dir"].endswith("evaluation_vote")
    assert "| cai2018, vote | 2 | +0.000 |" in text


def test_a_page_of_the_documentation_gets_tables_and_pictures(steps, tmp_path):
    page = tmp_path / "docs" / "comparison.md"
    page.parent.mkdir()
    parts = ("budget", "systems", "differences", "variants", "published")
    places = "\n".join(f"<!-- {name} -->\n<!-- end -->" for name in parts)
    page.write_text(f"before\n{places}\nafter\n")
    compare(tmp_path, tmp_path / "out", BUDGET, systems=["default"], page=page)
    assert "| default | – | 0.550 ± 0.071" in page.read_text()
    assert (page.parent / "images" / "comparison.png").is_file()


def test_a_share_of_the_training_scans_is_drawn(steps, tmp_path):
    names = {"training": [f"{number}.nii" for number in range(5)], "validation": ["v.nii"], "test": ["t.nii"]}
    content = {
        section: [{"image": name, "label": name, "patient": name} for name in files] for section, files in names.items()
    }
    for name in sum(names.values(), []):
        (tmp_path / name).touch()
    (tmp_path / "dataset.json").write_text(json.dumps(content))
    compare(tmp_path, tmp_path / "out", Budget(1, 1, scans=3), systems=["default"])
    drawn = json.loads((tmp_path / "out" / "dataset.json").read_text())
    assert [len(drawn[section]) for section in ("training", "validation", "test")] == [3, 1, 1]
    scored = json.loads((tmp_path / "out" / "default" / "evaluate.json").read_text())
    assert scored["dataset_dir"] == str(tmp_path / "out" / "dataset.json")


def test_an_unknown_system_is_named(tmp_path):
    with pytest.raises(InputError, match="zhu2019"):
        compare(tmp_path, tmp_path / "out", BUDGET, systems=["zhu2019"])


def test_a_step_that_fails_shows_the_end_of_its_log(monkeypatch, tmp_path):
    def fail(command, cwd, env, stdout, stderr):
        stdout.write("first\nout of memory\n")
        stdout.flush()
        return subprocess.CompletedProcess(command, 1)

    monkeypatch.setattr(module.subprocess, "run", fail)
    with pytest.raises(InputError, match="out of memory"):
        compare(tmp_path, tmp_path / "out", BUDGET, systems=["default"])
