"""bundle.evaluation.metrics, region and memory against answers worked out by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from monai.metrics import compute_hausdorff_distance, compute_surface_dice

from bundle.evaluation.metrics import METRICS, case_metrics
from bundle.evaluation.region import REGION_METRICS, UNION_METRICS, region_metrics
from bundle.geometry import Box
from bundle.memory import peak_memory_mb, reset_peak_memory

SPACING_MM = (1.0, 2.0, 4.0)


def row(drawing: str, axis: int = 0) -> np.ndarray:
    """One row of voxels along ``axis``, '#' is foreground."""
    shape = [1, 1, 1]
    shape[axis] = len(drawing)
    return np.array([voxel == "#" for voxel in drawing]).reshape(shape)


def box_mask(start: tuple[int, ...], stop: tuple[int, ...], shape: tuple[int, ...] = (20, 18, 16)) -> np.ndarray:
    mask = np.zeros(shape, dtype=bool)
    mask[tuple(slice(lo, hi) for lo, hi in zip(start, stop, strict=True))] = True
    return mask


def batch(mask: np.ndarray) -> torch.Tensor:
    """(1, 1, X, Y, Z), as MONAI's own metrics take a mask."""
    return torch.from_numpy(mask)[None, None]


def test_overlaps_of_half_covered_truth():
    # 2 common voxels, 3 predicted, 4 true.
    found = case_metrics(row(".###.."), row("..####"), SPACING_MM)
    assert found["dice"] == pytest.approx(4 / 7)
    assert found["jaccard"] == pytest.approx(2 / 5)
    assert found["precision"] == pytest.approx(2 / 3)
    assert found["recall"] == pytest.approx(2 / 4)


def test_volume_error_is_pred_minus_label_in_ml():
    found = case_metrics(row(".###.."), row("..####"), SPACING_MM)
    assert found["pred_volume_ml"] == pytest.approx(3 * 8 / 1000)
    assert found["label_volume_ml"] == pytest.approx(4 * 8 / 1000)
    assert found["volume_error_ml"] == pytest.approx(-8 / 1000)


@pytest.mark.parametrize(("axis", "voxel_mm"), list(enumerate(SPACING_MM)))
def test_distances_follow_the_spacing_of_their_own_axis(axis, voxel_mm):
    # One voxel each, three apart: every distance is 3 voxels.
    found = case_metrics(row("#...", axis), row("...#", axis), SPACING_MM)
    assert found["average_surface_distance_mm"] == pytest.approx(3 * voxel_mm)
    assert found["hausdorff_95_mm"] == pytest.approx(3 * voxel_mm)


def test_average_surface_distance_is_the_mean_of_both_directions():
    # pred to label: 0; label to pred: (0 + 4) / 2. Pooled over all three voxels it would be 4 / 3.
    found = case_metrics(row("#...."), row("#...#"), (1.0, 1.0, 1.0))
    assert found["average_surface_distance_mm"] == pytest.approx((0 + 2) / 2)


@pytest.mark.filterwarnings("ignore:.*always_return_as_numpy:FutureWarning")  # MONAI calls itself in a deprecated way
def test_hausdorff_95_is_the_larger_direction_and_agrees_with_monai():
    pred, label = box_mask((4, 4, 4), (12, 10, 9)), box_mask((4, 5, 4), (15, 10, 9))
    expected = compute_hausdorff_distance(
        batch(pred), batch(label), include_background=True, percentile=95, spacing=SPACING_MM
    )
    assert case_metrics(pred, label, SPACING_MM)["hausdorff_95_mm"] == pytest.approx(float(expected), abs=1e-5)


@pytest.mark.filterwarnings("ignore:.*always_return_as_numpy:FutureWarning")
def test_surface_dice_agrees_with_monai_by_area():
    pred, label = box_mask((4, 4, 4), (12, 10, 9)), box_mask((4, 5, 4), (15, 10, 9))
    expected = compute_surface_dice(
        batch(pred), batch(label), [2.0], include_background=True, spacing=SPACING_MM, use_subvoxels=True
    )
    found = case_metrics(pred, label, SPACING_MM)["surface_dice_2mm"]
    assert 0.5 < found < 1
    assert found == pytest.approx(float(expected), abs=1e-5)


def test_surface_dice_forgives_a_shift_within_two_mm():
    pred, label = box_mask((4, 4, 4), (10, 10, 10)), box_mask((6, 4, 4), (12, 10, 10))
    assert case_metrics(pred, label, (0.9, 1, 1))["surface_dice_2mm"] == pytest.approx(1)
    assert case_metrics(pred, label, (1.1, 1, 1))["surface_dice_2mm"] < 0.99


def test_identical_masks_at_the_border_are_perfect():
    mask = box_mask((0, 0, 0), (5, 18, 16))
    found = case_metrics(mask, mask, SPACING_MM)
    assert [found[name] for name in METRICS[:8]] == pytest.approx([1, 1, 1, 1, 0, 0, 1, 0])


def test_position_in_the_scan_does_not_matter():
    pred, label = box_mask((4, 4, 4), (12, 10, 9)), box_mask((4, 5, 4), (15, 10, 9))
    around = ((30, 7), (0, 11), (5, 40))
    found = case_metrics(np.pad(pred, around), np.pad(label, around), SPACING_MM)
    assert found == pytest.approx(case_metrics(pred, label, SPACING_MM))


def test_both_empty_is_full_agreement():
    empty = np.zeros((5, 4, 3), dtype=bool)
    found = case_metrics(empty, empty, SPACING_MM)
    assert [found[name] for name in METRICS] == [1, 1, 1, 1, 0, 0, 1, 0, 0, 0]


@pytest.mark.parametrize("pred_is_empty", [True, False])
def test_one_empty_has_no_overlap_and_no_distance(pred_is_empty):
    empty, full = row("...."), row(".##.")
    pred, label = (empty, full) if pred_is_empty else (full, empty)
    found = case_metrics(pred, label, SPACING_MM)
    assert [found[name] for name in ("dice", "jaccard", "precision", "recall", "surface_dice_2mm")] == [0] * 5
    assert math.isnan(found["average_surface_distance_mm"])
    assert math.isnan(found["hausdorff_95_mm"])
    assert found["volume_error_ml"] == pytest.approx((-1 if pred_is_empty else 1) * 2 * 8 / 1000)


def test_inputs_are_left_alone():
    pred, label = box_mask((4, 4, 4), (12, 10, 9)), box_mask((4, 5, 4), (15, 10, 9))
    before = pred.copy(), label.copy()
    case_metrics(pred, label, SPACING_MM)
    assert (pred == before[0]).all() and (label == before[1]).all()


def test_different_grids_are_refused():
    with pytest.raises(ValueError, match=r"one grid; received shapes \(1, 1, 4\) and \(1, 4, 1\)"):
        case_metrics(row("....", axis=2), row("....", axis=1), SPACING_MM)


def test_region_recall_counts_truth_voxels():
    label = row("..####....")
    found = region_metrics([Box((3, 0, 0), (9, 1, 1))], label)
    assert found["roi_recall"] == pytest.approx(3 / 4)
    assert found["roi_lost"] == pytest.approx(1 / 4)
    # 3 common voxels; the box has 6, the truth's tight box 4.
    assert found["roi_iou"] == pytest.approx(3 / 7)


def test_overlapping_boxes_count_once():
    label = row("..####....")
    found = region_metrics([Box((0, 0, 0), (4, 1, 1)), Box((2, 0, 0), (6, 1, 1))], label)
    assert [found[name] for name in UNION_METRICS] == pytest.approx([1, 0, 4 / 6])


def test_box_outside_the_grid_is_cut():
    found = region_metrics([Box((-3, -1, 0), (4, 5, 1))], row("..####...."))
    assert [found[name] for name in UNION_METRICS] == pytest.approx([2 / 4, 2 / 4, 2 / 6])


def test_no_box_loses_everything():
    assert region_metrics([], row(".##.")) == {"roi_recall": 0, "roi_lost": 1, "roi_iou": 0}


def test_region_of_empty_truth_is_undefined():
    assert all(math.isnan(value) for value in region_metrics([Box((0, 0, 0), (1, 1, 1))], row("....")).values())


# Zhao 2019, table 2. Truth 10 x 1 x 1 voxels in 40 x 1 x 1: its tight box is [15, 25), grown by 10 it is [5, 35).
def test_each_box_is_compared_to_the_truths_tight_and_grown_box():
    label = np.zeros((40, 1, 1), dtype=bool)
    label[15:25:3] = True
    found = region_metrics([Box((17, 0, 0), (29, 1, 1)), Box((0, 0, 0), (30, 1, 1))], label)
    assert tuple(found) == REGION_METRICS
    # Box 1 has 8 of the 10 voxels and 12 of the 30, box 2 all 10 and 25.
    assert {name: value for name, value in found.items() if name.startswith("box")} == pytest.approx(
        {
            "box1_recall": 8 / 10,
            "box1_recall_plus10": 12 / 30,
            "box1_iou": 8 / 14,
            "box1_iou_plus10": 12 / 30,
            "box2_recall": 1,
            "box2_recall_plus10": 25 / 30,
            "box2_iou": 10 / 30,
            "box2_iou_plus10": 25 / 35,
        }
    )


def test_box_beside_the_truth_has_nothing_of_it():
    found = region_metrics([Box((0, 0, 0), (2, 1, 1))], row("....##"))
    assert found["box1_recall"] == found["box1_iou"] == 0


def test_one_box_has_no_metrics_of_a_second():
    assert not [name for name in region_metrics([Box((0, 0, 0), (2, 1, 1))], row(".##.")) if name.startswith("box2")]


def test_peak_memory_sees_a_large_array():
    before = peak_memory_mb()
    array = np.ones(int(before * 1e6 + 50e6) // 8)
    assert peak_memory_mb() >= before + 50
    del array


def test_peak_memory_falls_after_a_reset():
    array = np.ones(int(100e6) // 8)
    with_array = peak_memory_mb()
    del array
    if not reset_peak_memory():
        pytest.skip("this system cannot forget the peak")
    assert peak_memory_mb() < with_array - 50
