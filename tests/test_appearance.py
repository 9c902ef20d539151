"""Painting of anatomies in Hounsfield units, on a body of blocks."""

from __future__ import annotations

import pytest
import torch

from bundle.errors import InputError
from bundle.rendering.anatomy import Anatomy
from bundle.rendering.appearance import Painted, label_of, paint
from bundle.rendering.contents import GAS_HU
from bundle.rendering.phases import PHASE_SHARES, PHASES, draw_patient_hu, draw_phase
from bundle.rendering.scene import depth_voxels
from bundle.rendering.tissues import CLASSES, Tissue

BLOCK = 14
COLUMNS = 6


def block_body() -> Anatomy:
    """Every tissue as a cube of 14 voxels of 2 mm, in a plane of 5 x 6 cubes, with fat between."""
    tissues = torch.full((5 * (BLOCK + 2), COLUMNS * (BLOCK + 2), BLOCK + 6), int(Tissue.FAT), dtype=torch.uint8)
    for tissue in Tissue:
        row, column = divmod(int(tissue), COLUMNS)
        x, y = row * (BLOCK + 2) + 1, column * (BLOCK + 2) + 1
        tissues[x : x + BLOCK, y : y + BLOCK, 3 : 3 + BLOCK] = tissue
    return Anatomy(tissues, 2.0, "blocks")


def painted(phase: str | None = None, seed: int = 0) -> Painted:
    return paint(block_body(), torch.Generator().manual_seed(seed), phase)


def inner_hu(scan: Painted, tissue: Tissue) -> torch.Tensor:
    """HU away from the surface, where walls and shells lie."""
    return scan.image_hu[depth_voxels(block_body().tissues == tissue, 3) == 3]


@pytest.mark.parametrize(
    ("tissue", "phase", "low", "high"),
    [
        (Tissue.OUTSIDE, "portal", -1000, -1000),
        (Tissue.LIVER, "unenhanced", -25, 80),
        (Tissue.LIVER, "portal", 40, 150),
        (Tissue.SPLEEN, "unenhanced", 30, 65),
        (Tissue.SPLEEN, "arterial", 75, 200),
        (Tissue.PANCREAS, "unenhanced", -60, 65),
        (Tissue.AORTA, "unenhanced", 20, 65),
        (Tissue.AORTA, "arterial", 140, 450),
        (Tissue.AORTA, "portal", 90, 230),
        (Tissue.PORTAL_VEINS, "portal", 110, 235),
        (Tissue.FAT, "portal", -130, -40),
        (Tissue.SUBCUTANEOUS_FAT, "portal", -130, -85),
        (Tissue.MUSCLE, "portal", 0, 80),
        (Tissue.BONE, "portal", 50, 500),
        (Tissue.LUNG, "unenhanced", -950, -550),
        (Tissue.GALLBLADDER, "portal", -15, 60),
    ],
)
@pytest.mark.parametrize("seed", range(3))
def test_tissue_is_as_dense_as_in_patients(tissue, phase, low, high, seed):
    assert low <= float(inner_hu(painted(phase, seed), tissue).median()) <= high


def test_cortex_is_denser_than_the_kidney_inside_in_the_arterial_phase():
    scan = painted("arterial")
    kidney = block_body().tissues == Tissue.KIDNEY_LEFT
    depth = depth_voxels(kidney, 7)
    assert scan.image_hu[depth == 1].median() > scan.image_hu[depth == 7].median() + 30


def test_label_shows_classes_and_nothing_else():
    tissues = torch.arange(len(Tissue), dtype=torch.uint8)
    assert label_of(tissues).tolist() == list(range(len(CLASSES))) + [0] * (len(Tissue) - len(CLASSES))
    assert label_of(tissues).dtype == torch.uint8


def test_wide_clefts_of_fat_are_no_pancreas():
    gland = block_body().tissues == Tissue.PANCREAS
    fat_shares = set()
    for seed in range(8):
        scan = painted(seed=seed)
        labelled = scan.label == 1
        assert not (labelled & ~gland).any()
        lost = 1 - labelled.sum() / gland.sum()
        assert lost <= 1.3 * scan.facts["fat_share"] + 0.02
        # What is left out is fat, what is left in is none, on average.
        if lost > 0.05:
            assert scan.image_hu[gland & ~labelled].mean() < -20 < scan.image_hu[labelled].mean()
            fat_shares.add(scan.facts["fat_share"])
    assert fat_shares


def test_gas_lies_in_front_of_fluid():
    """The patient lies on the back, so that gas in the stomach is at larger y than the rest."""
    tissues = torch.full((24, 40, 24), int(Tissue.FAT), dtype=torch.uint8)
    tissues[3:-3, 3:-3, 3:-3] = Tissue.STOMACH
    gas_seen = 0
    for seed in range(12):
        image = paint(Anatomy(tissues, 2.0, "stomach"), torch.Generator().manual_seed(seed)).image_hu
        lumen = depth_voxels(tissues == Tissue.STOMACH, 5) == 5
        gas = lumen & (image < GAS_HU + 60)
        gas_seen += int(gas.any())
        heights = torch.arange(40)[None, :, None].expand(tissues.shape)
        if gas.any() and gas.sum() < 0.9 * lumen.sum():
            assert heights[gas].float().mean() > heights[lumen & ~gas].float().mean()
    assert gas_seen >= 2


def test_same_seed_gives_the_same_picture():
    one, other = painted(seed=7), painted(seed=7)
    assert torch.equal(one.image_hu, other.image_hu) and one.facts == other.facts


def test_other_seed_gives_another_picture():
    assert not torch.equal(painted("portal", seed=7).image_hu, painted("portal", seed=8).image_hu)


def test_every_voxel_has_a_finite_value_and_the_anatomy_is_left_alone():
    anatomy = block_body()
    scan = paint(anatomy, torch.Generator().manual_seed(1))
    assert scan.image_hu.dtype == torch.float32 and bool(scan.image_hu.isfinite().all())
    assert torch.equal(anatomy.tissues, block_body().tissues)


def test_facts_are_plain_values():
    facts = painted("late").facts
    assert facts["phase"] == "late"
    assert {"pancreas_hu", "fat_share", "cysts", "duct_mm", "oral_contrast"} <= facts.keys()
    assert all(isinstance(value, (str, bool, int, float)) for value in facts.values())


def test_body_without_organs_is_painted():
    air = Anatomy(torch.zeros(8, 9, 10, dtype=torch.uint8), 2.0, "air")
    assert paint(air, torch.Generator().manual_seed(0)).image_hu.unique().tolist() == [-1000.0]


def test_unknown_phase_is_refused():
    with pytest.raises(InputError, match="unenhanced, arterial, portal, late"):
        painted("venous")


def test_phases_are_drawn_by_their_share():
    generator = torch.Generator().manual_seed(0)
    drawn = [draw_phase(generator) for _ in range(400)]
    for phase, share in PHASE_SHARES.items():
        assert abs(drawn.count(phase) / 400 - share) < 0.08


def test_every_tissue_has_hu_in_every_phase():
    for phase in PHASES:
        assert set(draw_patient_hu(phase, torch.Generator().manual_seed(0))) == set(Tissue)


def test_fatty_gland_is_less_dense_than_a_lean_one():
    """Over many patients without contrast, the mean HU of the gland falls with its share of fat."""
    anatomy = block_body()
    gland = anatomy.tissues == Tissue.PANCREAS
    scans = [painted("unenhanced", seed) for seed in range(16)]
    fat = torch.tensor([scan.facts["fat_share"] for scan in scans])
    hu = torch.tensor([float(scan.image_hu[gland].mean()) for scan in scans])
    assert torch.corrcoef(torch.stack([fat, hu]))[0, 1] < -0.6


# A row of voxels and its depths: the grid's end is no surface, so the left piece counts from its right end alone.
def test_depth_counts_from_the_surface():
    row = torch.tensor([v == "#" for v in "####..#####"]).reshape(1, 1, -1)
    assert depth_voxels(row, 3).flatten().tolist() == [3, 3, 2, 1, 0, 0, 1, 2, 3, 3, 3]
