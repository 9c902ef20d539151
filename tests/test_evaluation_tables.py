"""bundle.evaluation: statistics, tables, evaluator and handler, with a cascade that answers from a list."""

from __future__ import annotations

import logging
import math
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from monai.bundle import ConfigParser
from monai.data import DataLoader, Dataset, MetaTensor
from monai.inferers import Inferer, SimpleInferer
from monai.transforms import AsDiscreted
from scipy import stats

from bundle.cascade.region import BoxRule, Region
from bundle.cascade.report import CascadeReport
from bundle.evaluation.evaluator import CascadeEvaluator
from bundle.evaluation.handler import TableWriter
from bundle.evaluation.plot import plot_cases
from bundle.evaluation.summary import compare_stages, describe, paired_tests, summarise
from bundle.evaluation.tables import case_columns, read_table, write_table
from bundle.evaluation.true_region import TrueRegion
from bundle.geometry import Box

SHAPE = (12, 10, 8)
AFFINE = torch.diag(torch.tensor([1.0, 2.0, 3.0, 1.0], dtype=torch.float64))
ORGAN = Box((4, 3, 2), (8, 6, 5))


def row(case: str, stage: str, dice: float, label_ml: float = 50.0, outcome: str = "ok", **more: float) -> dict:
    return {"case": case, "stage": stage, "dice": dice, "label_volume_ml": label_ml, "outcome": outcome, **more}


def found(summary: list, stage: str, metric: str, scans: str = "with_pancreas") -> Any:
    (hit,) = [r for r in summary if (r["scans"], r["stage"], r["metric"]) == (scans, stage, metric)]
    return hit


def test_sd_is_of_the_sample_and_nan_is_counted_apart():
    result = describe([1.0, 3.0, math.nan, 8.0])
    assert result["n"] == 3 and result["undefined"] == 1
    assert result["mean"] == pytest.approx(4)
    assert result["sd"] == pytest.approx(math.sqrt((9 + 1 + 16) / 2))
    assert (result["median"], result["min"], result["max"]) == (3, 1, 8)


def test_nothing_defined_is_nan():
    assert describe([math.nan])["n"] == 0
    assert math.isnan(describe([math.nan])["mean"])


def test_one_value_has_no_sd():
    assert math.isnan(describe([0.7])["sd"])


def test_scans_without_pancreas_are_summarised_apart():
    rows = [
        row("a", "fine", 0.8),
        row("b", "fine", 0.6, outcome="not_found"),
        row("c", "fine", 1.0, label_ml=0.0, outcome="not_found", pred_volume_ml=0.0),
        row("d", "fine", 0.0, label_ml=0.0, pred_volume_ml=3.0),
    ]
    summary = summarise(rows)
    assert found(summary, "fine", "dice")["mean"] == pytest.approx(0.7)
    assert found(summary, "fine", "not_found")["mean"] == pytest.approx(0.5)
    assert found(summary, "fine", "not_found", "without_pancreas")["mean"] == pytest.approx(0.5)
    assert found(summary, "fine", "pred_volume_ml", "without_pancreas")["max"] == 3
    assert not [r for r in summary if r["scans"] == "without_pancreas" and r["metric"] == "dice"]


def test_comparison_pairs_cases_that_have_both_stages():
    rows = [row("a", "fine", 0.8), row("b", "fine", 0.7), row("c", "fine", 0.9)]
    rows += [row("b", "coarse", 0.5), row("a", "coarse", 0.7)]
    (result,) = compare_stages(rows)
    assert (result["against"], result["n"]) == ("coarse", 2)
    assert result["mean_difference"] == pytest.approx((0.1 + 0.2) / 2)


def test_paired_tests_are_those_of_scipy():
    rng = np.random.default_rng(0)
    fine, coarse = rng.random(12), rng.random(12)
    result = paired_tests((fine - coarse).tolist())
    assert result["wilcoxon_p"] == pytest.approx(stats.wilcoxon(fine, coarse).pvalue)
    assert result["t_test_p"] == pytest.approx(stats.ttest_rel(fine, coarse).pvalue)
    assert result["low_95"] < result["mean_difference"] < result["high_95"]


def test_bootstrap_repeats_with_its_seed():
    differences = np.random.default_rng(1).normal(size=20).tolist()
    assert paired_tests(differences, seed=3) == paired_tests(differences, seed=3)
    assert paired_tests(differences, seed=3)["low_95"] != paired_tests(differences, seed=4)["low_95"]


def test_equal_stages_do_not_differ():
    result = paired_tests([0.0, 0.0, 0.0])
    assert (result["wilcoxon_p"], result["t_test_p"], result["low_95"], result["high_95"]) == (1, 1, 0, 0)


def test_one_case_gives_no_test():
    result = paired_tests([0.1])
    assert result["n"] == 1 and math.isnan(result["wilcoxon_p"]) and math.isnan(result["low_95"])


def test_table_there_and_back(tmp_path):
    rows = [row("001", "fine", 0.5, seconds_segment=1.25), row("b", "coarse", math.nan)]
    write_table(rows, case_columns(rows), tmp_path / "cases.csv")
    first, second = read_table(tmp_path / "cases.csv")
    assert first == rows[0]
    assert math.isnan(second["dice"]) and "seconds_segment" not in second


@pytest.mark.parametrize("rows", [[], [row("a", "fine", 0.8, roi_recall=1.0), row("a", "coarse", 0.4)]])
def test_plot_is_a_png(rows, tmp_path):
    plot_cases(rows, tmp_path / "dice.png")
    assert (tmp_path / "dice.png").read_bytes().startswith(b"\x89PNG")


class FixedCascade(Inferer):
    """Answers with the same boxes for every scan: coarse, fine in its own region, fine elsewhere."""

    def __init__(self, outcome: str = "ok", with_coarse: bool = True) -> None:
        super().__init__()
        self.outcome = outcome
        self.with_coarse = with_coarse

    def __call__(self, inputs: torch.Tensor, network: Any, *args: Any, **kwargs: Any) -> MetaTensor:
        return self.run(inputs, network).pred

    def run(self, inputs: Any, network: Any, regions: list[Region] | None = None) -> SimpleNamespace:
        report = CascadeReport(self.outcome, boxes=[box_of(regions)], seconds={"segment": 2.0}, peak_memory_mb=100.0)
        if regions is None:
            report.seconds["localize"] = 1.0
        pred = MetaTensor(painted(ORGAN, 0.5)[None], meta=dict(inputs.meta) | {"cascade": report})
        coarse = painted(Box((4, 3, 2), (8, 6, 8)), 0.9)[None] if regions is None and self.with_coarse else None
        return SimpleNamespace(pred=pred, coarse=coarse, report=report)


def box_of(regions: list[Region] | None) -> Box:
    return Box((2, 2, 2), (7, 8, 8)) if regions is None else regions[0].box


def painted(box: Box, value: float) -> torch.Tensor:
    volume = torch.zeros(1, *SHAPE)
    box.crop(volume)[...] = value
    return volume


def loader(cases: dict[str, torch.Tensor]) -> DataLoader:
    """Scans by file name, each with its label (1, X, Y, Z)."""
    return DataLoader(
        Dataset(
            [
                {
                    "image": MetaTensor(torch.zeros(1, *SHAPE), affine=AFFINE, meta={"filename_or_obj": name}),
                    "label": MetaTensor(label, affine=AFFINE, meta={"filename_or_obj": name}),
                }
                for name, label in cases.items()
            ]
        ),
        batch_size=1,
        num_workers=0,
    )


def evaluate(output_dir: Path, cases: dict[str, torch.Tensor], **settings: Any) -> list[dict[str, Any]]:
    """Rows of the per-case table after an evaluation."""
    CascadeEvaluator(
        **{
            "device": torch.device("cpu"),
            "val_data_loader": loader(cases),
            "network": torch.nn.Identity(),
            "inferer": FixedCascade(),
            "true_region_rule": TrueRegion(BoxRule(margin_mm=2)),
            "val_handlers": [TableWriter(output_dir)],
            **settings,
        }
    ).run()
    return read_table(output_dir / "cases.csv")


def test_a_row_per_case_and_stage(tmp_path):
    cases = {"scans/a.nii.gz": painted(ORGAN, 1), "scans/b.nii.gz": painted(ORGAN, 1)}
    rows = evaluate(tmp_path, cases, with_whole_scan=True)
    stages = ["coarse", "fine", "fine_true_region", "whole_scan"]
    assert [(r["case"], r["stage"]) for r in rows] == [(case, stage) for case in "ab" for stage in stages]
    for name in ("summary.csv", "comparison.csv", "dice.png", "evaluation.md"):
        assert (tmp_path / name).stat().st_size > 0


def test_scores_are_on_the_scans_own_grid(tmp_path):
    coarse, fine, _ = evaluate(tmp_path, {"a.nii": painted(ORGAN, 1)})
    # The organ has 4·3·3 = 36 voxels of 6 mm³; the coarse mask is twice as long along Z.
    assert fine["dice"] == 1  # a probability of exactly 0.5 is in
    assert fine["label_volume_ml"] == pytest.approx(36 * 6 / 1000)
    assert coarse["dice"] == pytest.approx(2 * 36 / (36 + 72))
    assert coarse["volume_error_ml"] == pytest.approx(36 * 6 / 1000)


def test_other_organs_are_not_the_truth(tmp_path):
    label = painted(Box((0, 0, 0), SHAPE), 2)
    ORGAN.crop(label)[...] = 1
    assert evaluate(tmp_path, {"a.nii": label})[1]["dice"] == 1


def with_vessel() -> torch.Tensor:
    """The organ, but for a plane of 4 · 3 of its 36 voxels, which is a vessel (class 2)."""
    label = painted(ORGAN, 1)
    Box((4, 3, 2), (8, 6, 3)).crop(label)[...] = 2
    return label


def test_the_share_of_vessels_in_a_mask_is_told(tmp_path):
    writer = TableWriter(tmp_path, classes=["background", "pancreas", "portal_veins"])
    _, fine, _ = evaluate(tmp_path, {"a.nii": with_vessel()}, val_handlers=[writer])
    assert fine["vessel_share"] == pytest.approx(12 / 36)
    assert found(read_table(tmp_path / "summary.csv"), "fine", "vessel_share")["mean"] == pytest.approx(12 / 36)
    assert "| vessel_share |" in (tmp_path / "evaluation.md").read_text()


@pytest.mark.parametrize("classes", [(), ("background", "pancreas", "portal_veins")])
def test_without_vessels_in_the_truth_nothing_is_told_of_them(tmp_path, classes):
    label = painted(ORGAN, 1) if classes else with_vessel()
    evaluate(tmp_path, {"a.nii": label}, val_handlers=[TableWriter(tmp_path, classes=classes)])
    assert "vessel_share" not in (tmp_path / "cases.csv").read_text()
    assert "| vessel_share" not in (tmp_path / "evaluation.md").read_text()


def test_region_metrics_of_predicted_and_true_region(tmp_path):
    coarse, fine, true_region = evaluate(tmp_path, {"a.nii": painted(ORGAN, 1)})
    # The predicted region reaches to x = 7 and the organ to x = 8: a quarter is lost.
    assert fine["roi_recall"] == pytest.approx(3 / 4) and fine["roi_lost"] == pytest.approx(1 / 4)
    assert true_region["roi_recall"] == 1
    # 2 mm are 2, 1 and round(2 / 3) = 1 voxels on each side.
    assert true_region["roi_iou"] == pytest.approx(36 / (8 * 5 * 5), rel=1e-5)
    assert "roi_recall" not in coarse


def test_seconds_and_memory_travel_to_the_table(tmp_path):
    coarse, fine, true_region = evaluate(tmp_path, {"a.nii": painted(ORGAN, 1)})
    assert coarse["seconds_total"] == coarse["seconds_localize"] == 1
    assert (fine["seconds_localize"], fine["seconds_segment"], fine["seconds_total"]) == (1, 2, 3)
    assert true_region["seconds_total"] == 2
    assert fine["peak_memory_mb"] == 100


def test_scan_without_pancreas_has_no_true_region(tmp_path):
    rows = evaluate(tmp_path, {"a.nii": torch.zeros(1, *SHAPE)}, inferer=FixedCascade("not_found"))
    assert [r["stage"] for r in rows] == ["coarse", "fine"]
    summary = read_table(tmp_path / "summary.csv")
    assert found(summary, "fine", "not_found", "without_pancreas")["mean"] == 1


def test_outcome_of_the_coarse_stage_is_its_own(tmp_path):
    coarse, fine, _ = evaluate(tmp_path, {"a.nii": painted(ORGAN, 1)}, inferer=FixedCascade("not_found"))
    assert (coarse["outcome"], fine["outcome"]) == ("ok", "not_found")


def test_cascade_without_localizer_has_no_coarse_stage(tmp_path):
    rows = evaluate(tmp_path, {"a.nii": painted(ORGAN, 1)}, inferer=FixedCascade(with_coarse=False))
    assert [r["stage"] for r in rows] == ["fine", "fine_true_region"]


def test_postprocessing_changes_what_is_scored(tmp_path):
    rows = evaluate(tmp_path, {"a.nii": painted(ORGAN, 1)}, postprocessing=AsDiscreted("pred", threshold=0.6))
    assert [r["dice"] for r in rows[1:]] == [0, 1]


def test_batch_without_decollation_is_scored_alike(tmp_path):
    cases = {"a.nii": painted(ORGAN, 1)}
    assert evaluate(tmp_path / "x", cases, decollate=False) == evaluate(tmp_path / "y", cases)


def test_cases_of_one_name_get_their_folder(tmp_path):
    rows = evaluate(tmp_path, {"s/p1/ct.nii.gz": painted(ORGAN, 1), "s/p2/ct.nii.gz": painted(ORGAN, 1)})
    assert {r["case"] for r in rows} == {"p1/ct", "p2/ct"}


def test_finished_rows_outlive_a_later_failure(tmp_path):
    class FailsLater(FixedCascade):
        calls = 0

        def run(self, inputs, network, regions=None):
            self.calls += 1
            if self.calls > 2:
                raise RuntimeError("killed")
            return super().run(inputs, network, regions)

    logging.getLogger("ignite").setLevel(logging.CRITICAL)
    with pytest.raises(RuntimeError, match="killed"):
        evaluate(tmp_path, {"a.nii": painted(ORGAN, 1), "b.nii": painted(ORGAN, 1)}, inferer=FailsLater())
    assert [r["case"] for r in read_table(tmp_path / "cases.csv")] == ["a", "a", "a"]
    assert [path.name for path in tmp_path.iterdir()] == ["cases.csv"]


def test_second_run_of_a_writer_starts_afresh(tmp_path):
    writer = TableWriter(tmp_path)
    evaluate(tmp_path, {"a.nii": painted(ORGAN, 1)}, val_handlers=[writer])
    rows = evaluate(tmp_path, {"b.nii": painted(ORGAN, 1)}, val_handlers=[writer])
    assert {r["case"] for r in rows} == {"b"}


def test_summary_is_logged_as_a_table(tmp_path, caplog):
    with caplog.at_level(logging.INFO, logger="bundle.evaluation.handler"):
        evaluate(tmp_path, {"a.nii": painted(ORGAN, 1), "b.nii": torch.zeros(1, *SHAPE)})
    assert "without pancreas" in caplog.text and "surface_dice_2mm" in caplog.text


def test_the_page_has_the_stages_their_differences_and_the_scans_without_a_gland(tmp_path):
    two = {"a.nii": painted(ORGAN, 1), "b.nii": painted(ORGAN, 1)}
    evaluate(tmp_path, two | {"c.nii": torch.zeros(1, *SHAPE)})
    page = (tmp_path / "evaluation.md").read_text()
    stages = [line.split(" | ")[:2] for line in page.splitlines() if line.startswith("| ")][2:5]
    assert stages == [["| localizer alone", "2"], ["| **cascade**", "2"], ["| segmenter in the true region", "2"]]
    assert "| cascade minus | n |" in page
    assert "Without a gland: 0 of 1 scans without a mask (1 `ok`)." in page


def test_plain_inferer_is_refused(tmp_path):
    with pytest.raises(TypeError, match="must be a CascadeInferer, got SimpleInferer"):
        evaluate(tmp_path, {"a.nii": painted(ORGAN, 1)}, inferer=SimpleInferer())


def test_json_config_makes_evaluator_and_handler(tmp_path):
    config = {
        "evaluator": {
            "_target_": "bundle.evaluation.evaluator.CascadeEvaluator",
            "device": "$torch.device('cpu')",
            "val_data_loader": "@loader",
            "network": {"_target_": "torch.nn.Identity"},
            "inferer": {"_target_": "tests.test_evaluation_tables.FixedCascade"},
            "true_region_rule": {
                "_target_": "bundle.evaluation.true_region.TrueRegion",
                "region_rule": {"_target_": "bundle.cascade.region.BoxRule", "margin_mm": 10},
            },
            "val_handlers": [{"_target_": "bundle.evaluation.handler.TableWriter", "output_dir": str(tmp_path)}],
        },
        "imports": ["$import torch"],
        "loader": loader({"a.nii": painted(ORGAN, 1)}),
    }
    ConfigParser(config).get_parsed_content("evaluator").run()
    assert len(read_table(tmp_path / "cases.csv")) == 3
