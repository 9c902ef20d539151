"""The procedural abdomen: what any such body shows, at 3 mm."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest
import torch
from scipy import ndimage
from scipy.spatial import cKDTree

from bundle.rendering.body import draw_body
from bundle.rendering.tissues import Tissue

SPACING_MM = 3.0
SEEDS = (0, 3, 5, 13)  # average, lean, obese, atrophic gland


@cache
def body(seed: int) -> np.ndarray:
    return draw_body(torch.Generator().manual_seed(seed), SPACING_MM).tissues.numpy()


def centre(tissues: np.ndarray, tissue: Tissue) -> np.ndarray:
    """Mean voxel index: x grows to the right, y to the front, z upwards."""
    return np.argwhere(tissues == tissue).mean(axis=0)


def gap_mm(tissues: np.ndarray, tissue: Tissue) -> float:
    """Smallest distance between voxel centres of the pancreas and of another tissue."""
    gland = cKDTree(np.argwhere(tissues == Tissue.PANCREAS))
    return SPACING_MM * float(gland.query(np.argwhere(tissues == tissue))[0].min())


def foremost(tissues: np.ndarray, tissue: Tissue) -> np.ndarray:
    """Highest y of a tissue in each (x, z) column, NaN where the column has none of it."""
    y = np.where(tissues == tissue, np.arange(tissues.shape[1])[:, None], -1).max(axis=1)
    return np.where(y < 0, np.nan, y)


def test_same_seed_same_body():
    assert np.array_equal(body(0), draw_body(torch.Generator().manual_seed(0), SPACING_MM).tissues.numpy())


def test_same_seed_is_about_the_same_body_at_another_spacing():
    coarse = draw_body(torch.Generator().manual_seed(0), 5.0).tissues.numpy()
    for tissue in (Tissue.LIVER, Tissue.PANCREAS, Tissue.SPLEEN):
        fine_ml, coarse_ml = (
            (tissues == tissue).sum() * spacing_mm**3 / 1000 for tissues, spacing_mm in ((body(0), 3.0), (coarse, 5.0))
        )
        assert coarse_ml == pytest.approx(fine_ml, rel=0.25)


def test_other_seed_other_body():
    assert body(0).shape != body(1).shape or not np.array_equal(body(0), body(1))


def test_is_a_map_of_tissues_with_its_spacing():
    anatomy = draw_body(torch.Generator().manual_seed(3), 4.0)
    assert anatomy.tissues.dtype == torch.uint8
    assert anatomy.spacing_mm == 4.0
    assert {int(v) for v in anatomy.tissues.unique()} <= {int(t) for t in Tissue}


def test_patient_names_the_seed():
    assert draw_body(torch.Generator().manual_seed(7), 6.0).patient == "procedural-7"


@pytest.mark.parametrize("seed", SEEDS)
def test_pancreas_is_one_piece(seed):
    _, count = ndimage.label(body(seed) == Tissue.PANCREAS, structure=np.ones((3, 3, 3)))
    assert count == 1


@pytest.mark.parametrize("seed", SEEDS)
def test_pancreas_has_an_adult_volume(seed):
    volume_ml = (body(seed) == Tissue.PANCREAS).sum() * SPACING_MM**3 / 1000
    assert 18 <= volume_ml <= 132


@pytest.mark.parametrize("seed", SEEDS)
def test_pancreas_touches_duodenum(seed):
    assert gap_mm(body(seed), Tissue.DUODENUM) < 2 * SPACING_MM


@pytest.mark.parametrize("seed", SEEDS)
def test_pancreas_reaches_towards_spleen(seed):
    assert gap_mm(body(seed), Tissue.SPLEEN) <= 25


@pytest.mark.parametrize("seed", SEEDS)
def test_portal_veins_lie_on_pancreas(seed):
    assert gap_mm(body(seed), Tissue.PORTAL_VEINS) < 2 * SPACING_MM


@pytest.mark.parametrize("seed", SEEDS)
def test_right_organs_have_the_higher_x(seed):
    tissues = body(seed)
    assert centre(tissues, Tissue.LIVER)[0] > centre(tissues, Tissue.SPLEEN)[0]
    assert centre(tissues, Tissue.KIDNEY_RIGHT)[0] > centre(tissues, Tissue.KIDNEY_LEFT)[0]
    assert centre(tissues, Tissue.VENA_CAVA)[0] > centre(tissues, Tissue.AORTA)[0]


@pytest.mark.parametrize("seed", SEEDS)
def test_stomach_is_before_pancreas_and_kidney_behind(seed):
    tissues = body(seed)
    gland = foremost(tissues, Tissue.PANCREAS)
    assert np.nanmean(foremost(tissues, Tissue.STOMACH) - gland) > 0
    assert np.nanmean(foremost(tissues, Tissue.KIDNEY_LEFT) - gland) < 0


@pytest.mark.parametrize("seed", SEEDS)
def test_lungs_are_above_pancreas_and_bowel_below(seed):
    tissues = body(seed)
    assert centre(tissues, Tissue.LUNG)[2] > centre(tissues, Tissue.PANCREAS)[2] > centre(tissues, Tissue.BOWEL)[2]


@pytest.mark.parametrize("seed", SEEDS)
def test_body_is_surrounded_by_air(seed):
    tissues = body(seed)
    for side in (tissues[0], tissues[-1], tissues[:, 0], tissues[:, -1]):
        assert (side == Tissue.OUTSIDE).all()
