"""Reading label maps as anatomies, and writing them."""

from __future__ import annotations

import gzip
import json
import os
import shutil
from operator import attrgetter
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import torch

from bundle.errors import InputError
from bundle.rendering.anatomy import Anatomy, choose_anatomies, list_anatomies, read_anatomy, write_anatomy
from bundle.rendering.sidecar import read_names, read_patients
from bundle.rendering.tissue_names import LABEL_SCHEMES, tissue_of
from bundle.rendering.tissues import CLASSES, Tissue

DATA = Path(os.environ.get("PANCREAS_DATA", Path(__file__).parents[1] / "../shared/data"))
NAMES = {1: "spleen", 2: "pancreas", 6: "liver"}
AFFINE = np.diag([2.0, 2.0, 4.0, 1.0])


def small_map() -> np.ndarray:
    """RAS, 2 x 2 x 4 mm: spleen left (low x), pancreas in the middle (10.2 ml), liver right."""
    codes = np.zeros((30, 20, 10), np.uint8)
    codes[2:6, 5:15, 2:8] = 1
    codes[10:18, 6:16, 1:9] = 2
    codes[20:28, 4:16, 2:8] = 6
    return codes


def save(path: Path, codes: np.ndarray, affine: np.ndarray = AFFINE, names: dict | None = None) -> Path:
    nib.save(nib.Nifti1Image(codes, affine), path)
    if names is not None:
        path.with_name(path.name.replace(".nii.gz", ".json")).write_text(json.dumps(names))
    return path


@pytest.mark.parametrize(
    ("name", "tissue"),
    [
        ("vertebrae_T10", Tissue.BONE),
        ("rib_left_12", Tissue.BONE),
        ("autochthon_left", Tissue.MUSCLE),
        ("portal_vein_and_splenic_vein", Tissue.PORTAL_VEINS),
        ("kidney_cyst_right", Tissue.KIDNEY_RIGHT),
        ("Right Adrenal Gland", Tissue.ADRENAL_GLANDS),
        ("prostate/uterus", Tissue.OTHER_SOFT),
        ("humerus_left", Tissue.OUTSIDE),
        ("subcutaneous_fat", Tissue.SUBCUTANEOUS_FAT),
        ("flux_capacitor", None),
    ],
)
def test_names_stand_for_tissues(name, tissue):
    assert tissue_of(name) == tissue


def test_every_class_and_tissue_has_its_own_name():
    assert [tissue_of(name) for name in CLASSES[1:]] == list(Tissue)[1 : len(CLASSES)]
    assert [tissue_of(tissue.name) for tissue in Tissue] == list(Tissue)


@pytest.mark.parametrize("scheme", sorted(LABEL_SCHEMES))
def test_every_name_of_a_known_scheme_stands_for_a_tissue(scheme):
    assert None not in [tissue_of(name) for name in LABEL_SCHEMES[scheme].values()]


@pytest.mark.parametrize("sidecar", ["anatomy/totalsegmentator_s0327.json", "ct/totalsegmentator_example.json"])
def test_every_name_of_totalsegmentator_stands_for_a_tissue(sidecar):
    path = DATA / sidecar
    if not path.is_file():
        pytest.skip(f"{path.name} is not among the data (PANCREAS_DATA)")
    assert [name for name in json.loads(path.read_text()).values() if tissue_of(name) is None] == []


def test_values_become_tissues_on_an_unchanged_grid(tmp_path):
    path = save(tmp_path / "a.nii.gz", small_map(), np.diag([2.0, 2.0, 2.0, 1.0]), NAMES)
    tissues = read_anatomy(path, spacing_mm=2.0).tissues.numpy()
    expected = np.zeros(7, np.uint8)
    expected[[1, 2, 6]] = Tissue.SPLEEN, Tissue.PANCREAS, Tissue.LIVER
    np.testing.assert_array_equal(tissues, expected[small_map()])


def test_orientation_follows_the_affine(tmp_path):
    straight = save(tmp_path / "a.nii.gz", small_map(), names=NAMES)
    turned = nib.as_closest_canonical(nib.load(straight)).as_reoriented([[2, -1], [0, -1], [1, 1]])
    nib.save(turned, tmp_path / "b.nii.gz")
    (tmp_path / "b.json").write_text(json.dumps(NAMES))
    assert torch.equal(read_anatomy(tmp_path / "b.nii.gz", 2.0).tissues, read_anatomy(straight, 2.0).tissues)


def test_volume_survives_resampling(tmp_path):
    path = save(tmp_path / "a.nii.gz", small_map(), names=NAMES)
    voxels = int((read_anatomy(path, 1.5).tissues == Tissue.PANCREAS).sum())
    assert voxels * 1.5**3 == pytest.approx(8 * 10 * 8 * 16, rel=0.1)


def test_thick_slices_leave_no_steps(tmp_path):
    # A wedge whose edge moves by 8 mm from slice to slice, 6 mm apart: between slices the edge is in between.
    codes = np.zeros((40, 12, 5), np.uint8)
    for z in range(5):
        codes[5 : 15 + 4 * z, :, z] = 2
    path = save(tmp_path / "a.nii.gz", codes, np.diag([2.0, 2.0, 6.0, 1.0]), NAMES)
    edge = (read_anatomy(path, 2.0).tissues[:, 6, 1:-1] == Tissue.PANCREAS).sum(dim=0).diff()
    assert int(edge.max()) <= 2


def test_touching_tissues_leave_no_film_between_them(tmp_path):
    codes = np.full((20, 20, 10), 6, np.uint8)
    codes[:10] = 2
    path = save(tmp_path / "a.nii.gz", codes, names=NAMES)
    assert not (read_anatomy(path, 1.5).tissues == Tissue.OUTSIDE).any()


def test_writing_and_reading_gives_the_same_anatomy(tmp_path):
    path = save(tmp_path / "a.nii.gz", small_map(), names=NAMES)
    anatomy = Anatomy(read_anatomy(path, 1.5).tissues, 1.5, "anna+berta")
    write_anatomy(anatomy, tmp_path / "out" / "c.nii.gz")
    again = read_anatomy(tmp_path / "out" / "c.nii.gz", 1.5)
    assert torch.equal(again.tissues, anatomy.tissues)
    assert again.patients == read_patients(tmp_path / "out" / "c.nii.gz") == ("anna", "berta")


def test_a_written_anatomy_leaves_no_half_file(tmp_path):
    path = save(tmp_path / "a.nii.gz", small_map(), names=NAMES)
    write_anatomy(read_anatomy(path, 2.0), tmp_path / "out" / "c.nii.gz")
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == ["c.json", "c.nii.gz"]


def test_a_scheme_is_known_by_the_file_name(tmp_path):
    assert read_anatomy(save(tmp_path / "gibson_07.nii.gz", small_map())).patient == "gibson_07"


def test_names_may_be_given(tmp_path):
    anatomy = read_anatomy(save(tmp_path / "x.nii.gz", small_map()), names=NAMES)
    assert (anatomy.tissues == Tissue.PANCREAS).any()


@pytest.mark.parametrize(
    ("names", "message"),
    [
        ({**NAMES, 6: "flux"}, "value 6 named 'flux'"),
        ({1: "spleen", 2: "pancreas"}, "value 6 without a name"),
        ({**NAMES, 2: "stomach"}, "shows the pancreas"),
        ({1: "liver", 2: "pancreas", 6: "spleen"}, "right of the spleen; received the reverse by 40 mm"),
    ],
)
def test_wrong_labels_are_refused(tmp_path, names, message):
    path = save(tmp_path / "a.nii.gz", small_map(), names=names)
    with pytest.raises(InputError, match=message):
        read_anatomy(path)


def organ_map(without: tuple[str, ...] = ()) -> tuple[np.ndarray, dict[int, str]]:
    """RAS, 2 x 2 x 4 mm: organs as blocks where they lie in a body, and their names."""
    places = {
        "spleen": (4, 8, 30),
        "kidney_left": (8, 6, 20),
        "pancreas": (20, 16, 22),
        "vertebrae_L1": (20, 3, 22),
        "kidney_right": (32, 6, 20),
        "liver": (32, 14, 30),
        "lung_lower_lobe_left": (12, 10, 40),
        "urinary_bladder": (20, 14, 4),
    }
    codes, names = np.zeros((40, 24, 48), np.uint8), {}
    for value, (name, (x, y, z)) in enumerate(places.items(), start=1):
        if name not in without:
            codes[x - 4 : x + 4, y - 3 : y + 3, z - 4 : z + 4] = value
            names[value] = name
    return codes, names


def test_organs_at_their_places_are_accepted(tmp_path):
    codes, names = organ_map()
    assert read_anatomy(save(tmp_path / "a.nii.gz", codes, names=names)).patient == "a"


@pytest.mark.parametrize(
    ("axis", "without", "message"),
    [
        (0, (), "liver lies to the right of the spleen"),
        (0, ("spleen",), "liver lies to the right of the left kidney"),
        (0, ("liver", "spleen"), "right kidney lies to the right of the left kidney"),
        (0, ("liver", "kidney_left"), "right kidney lies to the right of the spleen"),
        (1, (), "pancreas lies in front of the spine"),
        (1, ("vertebrae_L1",), "pancreas lies in front of the left kidney"),
        (2, (), "lungs lie above the pancreas"),
        (2, ("lung_lower_lobe_left",), "bladder lies below the pancreas"),
        (2, ("lung_lower_lobe_left", "urinary_bladder"), "liver lies above the left kidney"),
    ],
)
def test_a_mirrored_map_is_refused(tmp_path, axis, without, message):
    codes, names = organ_map(without)
    path = save(tmp_path / "a.nii.gz", np.flip(codes, axis), names=names)
    with pytest.raises(InputError, match=message + ".*Correct the affine's orientation"):
        read_anatomy(path)


def test_kidneys_of_exchanged_names_are_refused(tmp_path):
    codes, names = organ_map(without=("liver", "spleen"))
    path = save(tmp_path / "a.nii.gz", codes, names={**names, 2: "kidney_right", 5: "kidney_left"})
    with pytest.raises(InputError, match="right kidney lies to the right of the left kidney; received .* by 48 mm"):
        read_anatomy(path)


def test_organs_that_a_slab_cuts_at_about_the_same_height_are_accepted(tmp_path):
    codes = small_map()
    codes[2:6] = np.roll(codes[2:6], 2, axis=2)  # 8 mm higher than the liver
    names = {**NAMES, 1: "kidney_left"}
    assert read_anatomy(save(tmp_path / "a.nii.gz", codes, names=names)).patient == "a"


@pytest.mark.parametrize("path", sorted((DATA / "anatomy").glob("*.nii.gz")), ids=attrgetter("name"))
def test_a_real_map_breaks_no_rule(tmp_path, path):
    sidecar = path.with_name(path.name.replace(".nii.gz", ".json"))
    if sidecar.is_file():
        shutil.copy(sidecar, tmp_path)
    nib.save(nib.load(path).slicer[::5, ::5], tmp_path / path.name)
    assert read_anatomy(tmp_path / path.name, spacing_mm=5.0).patient == path.name.removesuffix(".nii.gz")


@pytest.mark.parametrize(("spacing_mm", "volume"), [((1, 1, 2), "1.3 ml"), ((8, 8, 10), "409.6 ml")])
def test_impossible_volumes_are_refused(tmp_path, spacing_mm, volume):
    path = save(tmp_path / "a.nii.gz", small_map(), np.diag([*spacing_mm, 1]), NAMES)
    with pytest.raises(InputError, match="a pancreas has 5-300 ml; received " + volume):
        read_anatomy(path)


def test_slices_too_far_apart_are_refused(tmp_path):
    path = save(tmp_path / "a.nii.gz", small_map(), np.diag([2, 2, 50, 1]), NAMES)
    with pytest.raises(InputError, match="at most 10 mm apart; received 2 x 2 x 50 mm"):
        read_anatomy(path)


def test_a_spacing_in_metres_is_told_from_a_small_pancreas(tmp_path):
    path = save(tmp_path / "a.nii.gz", small_map(), np.diag([0.002, 0.002, 0.004, 1]), NAMES)
    with pytest.raises(InputError, match="0.05 mm apart; received 0.002 x 0.002 x 0.004 mm. It may be in metres"):
        read_anatomy(path)


@pytest.mark.parametrize("value", [0.0, np.nan])
def test_an_affine_that_is_not_invertible_is_refused(tmp_path, value):
    affine = AFFINE.copy()
    affine[2, 2] = value
    image = nib.Nifti1Image(small_map(), AFFINE)
    image.header["srow_z"] = affine[2]
    image.header["sform_code"], image.header["qform_code"] = 1, 0
    path = tmp_path / "a.nii.gz"
    path.write_bytes(gzip.compress(image.header.binaryblock + bytes(4) + small_map().tobytes(order="F")))
    with pytest.raises(InputError, match="finite and invertible"):
        read_anatomy(path, names=NAMES)


def test_a_map_without_names_is_refused(tmp_path):
    with pytest.raises(InputError, match="structures of a label map have names"):
        read_anatomy(save(tmp_path / "x.nii.gz", small_map()))


@pytest.mark.parametrize("names", [{"labels": {"pancreas": 2, "liver": 6}}, {"pancreas": 2, "liver": 6}])
def test_names_may_come_before_their_values(tmp_path, names):
    (tmp_path / "x.json").write_text(json.dumps(names))
    assert read_names(tmp_path / "x.nii.gz") == {2: "pancreas", 6: "liver"}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b'{"labels": ["pancreas"]}', "names are given by label value; received a list as labels"),
        (b'{"labels": {"pancreas": "gland"}}', "names are given by label value; received invalid literal"),
        (b'["pancreas"]', "names are given as a JSON object; received a list"),
        (b'{"1": "pancr', "names are given as JSON; received Unterminated string"),
        ('{"1": "pancréas"}'.encode("latin-1"), "names are given in UTF-8"),
    ],
)
def test_a_sidecar_of_another_form_is_named(tmp_path, content, message):
    (tmp_path / "x.json").write_bytes(content)
    with pytest.raises(InputError, match="x.json: " + message):
        read_names(tmp_path / "x.nii.gz")


def test_a_sidecar_of_patients_only_leaves_the_names_to_the_scheme(tmp_path):
    path = save(tmp_path / "gibson_07.nii.gz", small_map(), names={"patients": ["anna"]})
    assert read_anatomy(path).patient == "anna"


@pytest.mark.parametrize("name", ["../x/p1", "/p1", "a\\b", "..", ".p1", ""])
def test_a_patients_name_is_no_path(tmp_path, name):
    (tmp_path / "x.json").write_text(json.dumps({"patients": [name]}))
    with pytest.raises(InputError, match="x.json: a patient's name is no path"):
        read_patients(tmp_path / "x.nii.gz")


def test_one_patient_may_be_given_as_text(tmp_path):
    (tmp_path / "x.json").write_text(json.dumps({"patients": "p1"}))
    assert read_patients(tmp_path / "x.nii.gz") == ("p1",)


@pytest.mark.parametrize("patients", [[1], {"p1": 1}, 7])
def test_patients_that_are_no_names_are_refused(tmp_path, patients):
    (tmp_path / "x.json").write_text(json.dumps({"patients": patients}))
    with pytest.raises(InputError, match="x.json: patients is a list of names"):
        read_patients(tmp_path / "x.nii.gz")


def test_a_scan_is_no_label_map(tmp_path):
    with pytest.raises(InputError, match="whole numbers"):
        read_anatomy(save(tmp_path / "x.nii.gz", small_map() + np.float32(0.5), names=NAMES))


def test_a_file_that_is_no_image_is_refused(tmp_path):
    (tmp_path / "x.nii.gz").write_text("nothing")
    with pytest.raises(InputError, match="can be read.*it may be truncated or not a NIfTI file"):
        read_anatomy(tmp_path / "x.nii.gz")


def test_a_truncated_map_is_called_truncated(tmp_path):
    path = save(tmp_path / "x.nii.gz", np.random.default_rng(0).integers(0, 3, (30, 20, 10)).astype(np.uint8))
    path.write_bytes(path.read_bytes()[:900])
    with pytest.raises(InputError, match="Copy or export it again: it may be truncated"):
        read_anatomy(path, names=NAMES)


def test_an_empty_folder_is_refused(tmp_path):
    with pytest.raises(InputError, match="holds label maps"):
        list_anatomies(tmp_path)


@pytest.mark.parametrize("patients", ["a, b", ("a", "b")])
def test_maps_are_chosen_whose_patients_are_all_listed(tmp_path, patients):
    for patient in ("a", "a+b", "b+c"):
        write_anatomy(Anatomy(torch.zeros(2, 2, 2, dtype=torch.uint8), 3.0, patient), tmp_path / f"{patient}.nii.gz")
    assert [path.name for path in choose_anatomies(tmp_path, patients)] == ["a+b.nii.gz", "a.nii.gz"]
    with pytest.raises(InputError, match="patients are among a, b, c"):
        choose_anatomies(tmp_path, "a,d")


def test_a_real_map_is_turned_to_ras(tmp_path):
    # Every fifth voxel in the plane, to be quick.
    path = DATA / "anatomy" / "gibson_55.nii.gz"
    if not path.is_file():
        pytest.skip(f"{path.name} is not among the data (PANCREAS_DATA)")
    image = nib.load(path).slicer[::5, ::5]
    assert nib.aff2axcodes(image.affine) == ("L", "A", "S")
    nib.save(image, tmp_path / "gibson_55.nii.gz")
    tissues = read_anatomy(tmp_path / "gibson_55.nii.gz", spacing_mm=5.0).tissues
    middle = {t: torch.nonzero(tissues == t.value).float().mean(dim=0) for t in (Tissue.LIVER, Tissue.SPLEEN)}
    assert middle[Tissue.LIVER][0] > middle[Tissue.SPLEEN][0]
