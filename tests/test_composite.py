"""Composites of a patient's labelled organs and the body of another."""

from __future__ import annotations

import json

import nibabel as nib
import numpy as np
import pytest
import torch

from bundle.errors import InputError
from bundle.rendering.anatomy import Anatomy, read_anatomy
from bundle.rendering.body_wall import add_body_wall
from bundle.rendering.bowel_loops import draw_bowel_loops
from bundle.rendering.composite import build_composites, complete_body, compose, is_complete
from bundle.rendering.registration import register
from bundle.rendering.tissues import Tissue
from bundle.rendering.tubes import paint_tube, route
from bundle.rendering.vessels import draw_vessels

SPACING_MM = 6.0
ORGANS = (Tissue.PANCREAS, Tissue.LIVER, Tissue.SPLEEN, Tissue.STOMACH, Tissue.DUODENUM)


def ellipsoid(shape: tuple[int, int, int], centre_mm: tuple, radii_mm: tuple) -> np.ndarray:
    axes = np.indices(shape) * SPACING_MM
    return sum(((axes[a] - centre_mm[a]) / radii_mm[a]) ** 2 for a in range(3)) <= 1


def whole_body(move_mm: float = 0.0) -> np.ndarray:
    """A body of boxes and ellipsoids, 6 mm voxels, RAS; ``move_mm`` shifts the organs to the right and upwards."""
    shape = (46, 32, 46)
    tissues = np.zeros(shape, np.uint8)
    m = move_mm
    parts = {
        Tissue.BOWEL: ((110, 130, 60), (60, 25, 40)),
        Tissue.STOMACH: ((95 + m, 130, 155 + m), (30, 20, 25)),
        Tissue.LIVER: ((185 + m, 105, 165 + m), (50, 50, 50)),
        Tissue.SPLEEN: ((60 + m, 70, 160 + m), (20, 28, 35)),
        Tissue.PANCREAS: ((120 + m, 102, 125 + m), (48, 11, 13)),
        Tissue.DUODENUM: ((172 + m, 100, 95 + m), (13, 13, 25)),
        Tissue.KIDNEY_RIGHT: ((180, 50, 100), (20, 20, 30)),
        Tissue.LUNG: ((140, 90, 250), (90, 55, 32)),
    }
    for tissue, (centre_mm, radii_mm) in parts.items():
        tissues[ellipsoid(shape, centre_mm, radii_mm)] = tissue
    tissues[20:26, 8:13] = Tissue.BONE
    tissues[12:34, 3:7] = Tissue.MUSCLE
    tissues[19:22, 13:16] = Tissue.AORTA
    tissues[25:28, 13:16] = Tissue.VENA_CAVA
    return tissues


def anatomy(tissues: np.ndarray, patient: str) -> Anatomy:
    return Anatomy(torch.from_numpy(tissues), SPACING_MM, patient)


def organs_only(tissues: np.ndarray) -> np.ndarray:
    return np.where(np.isin(tissues, ORGANS), tissues, 0).astype(np.uint8)


@pytest.fixture(scope="module")
def composite() -> Anatomy:
    return compose(anatomy(organs_only(whole_body(12)), "anna"), anatomy(whole_body(), "berta"))


def test_a_body_is_complete_if_bones_and_muscles_are_labelled():
    assert is_complete(anatomy(whole_body(), "berta"))
    assert not is_complete(anatomy(organs_only(whole_body()), "anna"))


def test_registration_brings_the_donors_organs_onto_the_patients():
    patient, donor = (torch.from_numpy(whole_body(mm)) for mm in (12.0, 0.0))
    found = register(torch.from_numpy(organs_only(patient.numpy())), donor, SPACING_MM, SPACING_MM)
    gland = patient == Tissue.PANCREAS
    warped = found.warp(donor, SPACING_MM, patient.shape, SPACING_MM) == Tissue.PANCREAS
    before = 2 * (gland & (donor == Tissue.PANCREAS)).sum() / (gland.sum() + (donor == Tissue.PANCREAS).sum())
    after = 2 * (gland & warped).sum() / (gland.sum() + warped.sum())
    assert float(before) < 0.4 < 0.75 < float(after)


def test_a_composite_keeps_every_voxel_of_the_patients_gland(composite):
    gland = organs_only(whole_body(12)) == Tissue.PANCREAS
    kept = (composite.tissues == Tissue.PANCREAS).numpy()
    boxes = [mask[np.ix_(*(np.flatnonzero(mask.any(axis=axes)) for axes in ((1, 2), (0, 2), (0, 1))))]
             for mask in (gland, kept)]
    np.testing.assert_array_equal(*boxes)


def test_a_composite_has_the_rest_of_the_donors_body(composite):
    present = set(composite.tissues.unique().tolist())
    wall = {Tissue.BONE, Tissue.AORTA, Tissue.VENA_CAVA, Tissue.KIDNEY_RIGHT, Tissue.FAT, Tissue.MUSCLE, Tissue.SKIN}
    assert {tissue.value for tissue in wall | {Tissue.SUBCUTANEOUS_FAT}} <= present


def test_a_composite_has_the_vessels_at_the_gland(composite):
    present = composite.tissues
    assert (present == Tissue.PORTAL_VEINS).any() and (present == Tissue.ARTERIES).any()


def test_a_composite_belongs_to_both_patients(composite):
    assert composite.patients == ("anna", "berta")


def test_a_composite_is_the_same_when_built_again(composite):
    again = compose(anatomy(organs_only(whole_body(12)), "anna"), anatomy(whole_body(), "berta"))
    assert torch.equal(again.tissues, composite.tissues)


def test_a_body_ends_in_skin():
    tissues = complete_body(anatomy(whole_body(), "berta")).tissues.numpy()
    inside = ~np.isin(tissues, (Tissue.OUTSIDE, Tissue.SKIN, Tissue.SUBCUTANEOUS_FAT))
    assert not inside[0].any() and not inside[-1].any() and not inside[:, 0].any() and not inside[:, -1].any()
    assert (tissues == Tissue.SKIN).any(axis=(0, 1)).all()


def test_patients_without_a_shared_organ_are_refused():
    alone = np.zeros((10, 10, 10), np.uint8)
    alone[4:6, 4:6, 4:6] = Tissue.GALLBLADDER
    with pytest.raises(InputError, match="shares with the patient"):
        compose(anatomy(alone, "anna"), anatomy(whole_body(), "berta"))


def test_the_wall_leaves_labels_as_they_are():
    tissues = np.pad(whole_body(), ((12, 12), (12, 12), (0, 0)))
    walled = add_body_wall(tissues, SPACING_MM, torch.Generator().manual_seed(0))
    np.testing.assert_array_equal(walled[tissues > 0], tissues[tissues > 0])


def test_vessels_and_loops_leave_organs_as_they_are():
    tissues = np.where(whole_body() == 0, Tissue.FAT, whole_body()).astype(np.uint8)
    drawn = tissues.copy()
    draw_vessels(drawn, SPACING_MM, torch.Generator().manual_seed(0), own_portal_vein=True)
    draw_bowel_loops(drawn, SPACING_MM, torch.Generator().manual_seed(0))
    organs = np.isin(tissues, [*ORGANS, Tissue.KIDNEY_RIGHT, Tissue.BONE, Tissue.AORTA])
    np.testing.assert_array_equal(drawn[organs], tissues[organs])
    assert (drawn == Tissue.ARTERIES).any() and (drawn == Tissue.BOWEL).sum() > (tissues == Tissue.BOWEL).sum()


def test_no_vessels_without_a_gland():
    tissues = np.where(whole_body() == Tissue.PANCREAS, Tissue.FAT, whole_body()).astype(np.uint8)
    drawn = tissues.copy()
    draw_vessels(drawn, SPACING_MM, torch.Generator().manual_seed(0), own_portal_vein=False)
    np.testing.assert_array_equal(drawn, tissues)


def test_a_route_goes_around_what_is_closed():
    cost = np.ones((9, 9, 1))
    cost[4, :7] = 1000
    way = route(cost, [(0, 0, 0), (8, 0, 0)], smoothing=0.1)
    assert {tuple(point) for point in way.round().astype(int)} & {(4, 7, 0), (4, 8, 0)}


def test_a_tube_has_its_radius_and_paints_only_over_what_it_may():
    tissues = np.full((11, 11, 5), Tissue.FAT, np.uint8)
    tissues[5, 8] = Tissue.LIVER
    paint_tube(tissues, np.array([[5.0, 5.0, z] for z in range(5)]), 3.1, Tissue.ARTERIES, over=(Tissue.FAT,))
    row = "".join("FAL"[(Tissue.FAT, Tissue.ARTERIES, Tissue.LIVER).index(v)] for v in tissues[5, :, 2])
    assert row == "FFAAAAAALFF"


def test_building_writes_each_patient_on_each_donor_and_goes_on_where_it_was(tmp_path):
    source, output = tmp_path / "in", tmp_path / "out"
    source.mkdir()
    names = {str(t.value): t.name.lower() for t in Tissue}
    for name, tissues in (("anna", organs_only(whole_body(12))), ("berta", whole_body())):
        nib.save(nib.Nifti1Image(tissues, np.diag([SPACING_MM] * 3 + [1])), source / f"{name}.nii.gz")
        (source / f"{name}.json").write_text(json.dumps(names))
    seen: list[tuple[int, int, str]] = []
    paths = build_composites(source, output, SPACING_MM, progress=lambda *step: seen.append(step))
    assert [path.name for path in paths] == ["berta.nii.gz", "anna_on_berta.nii.gz"]
    assert seen == [(0, 2, "berta"), (1, 2, "anna_on_berta")]
    assert read_anatomy(paths[1], SPACING_MM).patients == ("anna", "berta")
    before = paths[1].stat().st_mtime_ns
    build_composites(source, output, SPACING_MM)
    assert paths[1].stat().st_mtime_ns == before
    with pytest.raises(InputError, match="a donor is one of berta"):
        build_composites(source, output, SPACING_MM, donors=["carla"])


def test_two_maps_of_one_patient_are_refused(tmp_path):
    for name in ("a", "b"):
        (tmp_path / f"{name}.nii.gz").touch()
        (tmp_path / f"{name}.json").write_text(json.dumps({"patients": ["berta"]}))
    with pytest.raises(InputError, match="b.nii.gz: a patient has one map; received another of berta, a.nii.gz"):
        build_composites(tmp_path, tmp_path / "out")


def test_an_output_that_is_a_file_is_refused_before_maps_are_read(tmp_path):
    (tmp_path / "a.nii.gz").touch()
    (tmp_path / "out").touch()
    with pytest.raises(InputError, match="out: the output is a folder; received a file"):
        build_composites(tmp_path, tmp_path / "out")
