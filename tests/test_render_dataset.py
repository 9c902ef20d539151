"""Lists, files and resuming with a stand-in renderer of 6 x 5 x 4 voxels; the real one is run once."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import SimpleITK as sitk
import torch

from bundle.errors import InputError
from bundle.rendering import dataset
from bundle.rendering.anatomy import Anatomy
from bundle.rendering.dataset import plan_scans, write_dataset
from bundle.rendering.dicom_series import write_dicom_series
from bundle.rendering.renderer import render_scan
from bundle.rendering.scanner import RenderedScan, ScannerSettings
from bundle.rendering.tissues import Tissue


def tiny_scan(anatomy, seed, settings=None, affine=None) -> RenderedScan:
    random = np.random.default_rng(seed)
    image_hu = random.integers(-1024, 3072, (6, 5, 4)).astype(np.int16)
    label = random.integers(0, 3, (6, 5, 4)).astype(np.uint8)
    affine = np.diag([-0.7, -0.7, 2.5, 1]) if affine is None else affine
    facts = {"patient": f"procedural_{seed}", "seed": seed, "slice_thickness_mm": 2.5, "phase": "portal"}
    return RenderedScan(image_hu, label, affine, {**facts, "pancreas_ml": 1.0})


@pytest.fixture(name="renders")
def counted_renders(monkeypatch):
    """Seeds of the scans rendered so far, by the stand-in."""
    seeds = []

    def render(anatomy, seed, settings=None, gland=None, deformation=1.0):
        seeds.append(seed)
        return tiny_scan(anatomy, seed)

    monkeypatch.setattr(dataset, "render_scan", render)
    return seeds


def read_list(folder):
    return json.loads((folder / "dataset.json").read_text())


def test_entries_name_files_and_patients(tmp_path, renders):
    write_dataset(tmp_path, plan_scans(2, seed=7))
    listed = read_list(tmp_path)
    assert listed["numTraining"] == 2 and listed["labels"]["1"] == "pancreas"
    for entry in listed["training"]:
        assert (tmp_path / entry["image"]).is_file() and (tmp_path / entry["label"]).is_file()
        assert entry["patient"].startswith("procedural_")


def test_calls_fill_one_folder(tmp_path, renders):
    write_dataset(tmp_path, plan_scans(2, seed=1))
    write_dataset(tmp_path, plan_scans(1, seed=2, section="test"))
    write_dataset(tmp_path, plan_scans(1, seed=3, section="training"))
    listed = read_list(tmp_path)
    assert (len(listed["training"]), len(listed["test"]), listed["numTest"]) == (3, 1, 1)
    assert "imagesTs" in listed["test"][0]["image"]


def test_finished_scans_are_not_rendered_again(tmp_path, renders):
    write_dataset(tmp_path, plan_scans(2, seed=1))
    write_dataset(tmp_path, plan_scans(3, seed=1))
    assert len(renders) == 3
    assert len(read_list(tmp_path)["training"]) == 3


def test_other_settings_render_again(tmp_path, renders):
    write_dataset(tmp_path, plan_scans(1, seed=1))
    write_dataset(tmp_path, plan_scans(1, seed=1, settings=ScannerSettings(share_table=0.0)))
    assert len(renders) == 2
    assert len(read_list(tmp_path)["training"]) == 1


def test_an_interruption_keeps_what_is_done(tmp_path, renders, monkeypatch):
    def interrupted(facts):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_dataset(tmp_path, plan_scans(3, seed=1), on_scan=interrupted)
    assert len(read_list(tmp_path)["training"]) == 1
    assert not list(tmp_path.rglob(".*"))


def test_image_and_label_share_the_affine(tmp_path, renders):
    write_dataset(tmp_path, plan_scans(1, seed=5))
    entry = read_list(tmp_path)["training"][0]
    image, label = nib.load(tmp_path / entry["image"]), nib.load(tmp_path / entry["label"])
    assert np.array_equal(image.affine, label.affine)
    assert image.get_data_dtype() == np.int16 and label.get_data_dtype() == np.uint8


def test_anatomies_take_turns(tmp_path):
    paths = [tmp_path / "a.nii.gz", tmp_path / "b.nii.gz"]
    orders = plan_scans(4, seed=0, anatomies=paths, procedural_share=0.0)
    assert [order.anatomy for order in orders] == paths * 2


def test_more_scans_leave_the_first_as_they_are(tmp_path):
    paths = [tmp_path / "a.nii.gz", tmp_path / "b.nii.gz"]
    assert plan_scans(9, seed=4, anatomies=paths)[:5] == plan_scans(5, seed=4, anatomies=paths)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"count": 0}, "count: at least one"),
        ({"section": "train"}, "section: a section is one of"),
        ({"procedural_share": -0.1}, "procedural share: a share"),
        ({"gland_share": -1.0}, "gland share: a share"),
        ({"gland_share": 7.0}, "gland share: a share"),
    ],
)
def test_bad_plans_are_named(arguments, message):
    with pytest.raises(InputError, match=message):
        plan_scans(**{"count": 1, "seed": 0, **arguments})


@pytest.mark.parametrize(("output", "message"), [("file", "is a folder; received a file"), ("file/x", "can be made")])
def test_an_output_that_is_no_folder_is_refused_before_rendering(tmp_path, renders, output, message):
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match=f"{output}: the output .*{message}"):
        write_dataset(tmp_path / output, plan_scans(1, seed=0))
    assert not renders


def test_a_foreign_dataset_json_is_refused_before_rendering(tmp_path, renders):
    (tmp_path / "dataset.json").write_text("[1, 2]")
    with pytest.raises(InputError, match="an existing dataset.json can be extended"):
        write_dataset(tmp_path, plan_scans(1, seed=0))
    assert not renders


@pytest.mark.parametrize("axcodes", ["RAS", "LPS", "LAS", "SAL"])
def test_dicom_series_reads_back_the_same(tmp_path, axcodes):
    ornt = nib.orientations.axcodes2ornt(axcodes)
    ras = nib.Nifti1Image(np.zeros((6, 5, 4), np.int16), np.diag([0.7, 0.8, 2.5, 1.0]))
    affine = ras.as_reoriented(nib.orientations.ornt_transform(nib.io_orientation(ras.affine), ornt)).affine
    scan = tiny_scan(None, 1, affine=affine + np.pad([[12.5], [-33.25], [401.0]], ((0, 1), (3, 0))))
    write_dicom_series(scan, tmp_path / "series", "one")

    files = sitk.ImageSeriesReader.GetGDCMSeriesFileNames(str(tmp_path / "series"))
    read = sitk.ReadImage(files)
    columns = np.array(read.GetDirection()).reshape(3, 3) * read.GetSpacing()
    read_affine = np.eye(4)
    read_affine[:3, :3], read_affine[:3, 3] = columns, read.GetOrigin()
    read_affine = np.diag([-1.0, -1.0, 1.0, 1.0]) @ read_affine
    voxels = sitk.GetArrayFromImage(read).transpose(2, 1, 0)
    found = nib.as_closest_canonical(nib.Nifti1Image(voxels.astype(np.int16), read_affine))
    expected = nib.as_closest_canonical(nib.Nifti1Image(scan.image_hu, scan.affine))
    np.testing.assert_allclose(found.affine, expected.affine, atol=1e-3)
    assert np.array_equal(found.get_fdata(), expected.get_fdata())


def test_dicom_identifiers_repeat_with_the_seed(tmp_path):
    import pydicom

    for folder in ("first", "second"):
        write_dicom_series(tiny_scan(None, 1), tmp_path / folder, "one")
    write_dicom_series(replace(tiny_scan(None, 1), facts={**tiny_scan(None, 2).facts}), tmp_path / "third", "one")
    first, second, third = (pydicom.dcmread(tmp_path / f / "slice_0000.dcm") for f in ("first", "second", "third"))
    assert first.SeriesInstanceUID == second.SeriesInstanceUID != third.SeriesInstanceUID


def test_the_real_renderer_gives_a_scan_with_pancreas():
    tissues = torch.zeros(70, 60, 50, dtype=torch.uint8)
    tissues[10:60, 10:50] = Tissue.FAT
    tissues[20:50, 25:35, 20:28] = Tissue.PANCREAS  # 90 x 30 x 24 mm
    settings = ScannerSettings(in_plane_spacing_mm=(2.5, 2.5), slice_thickness_mm=(5.0, 5.0))
    scan = render_scan(Anatomy(tissues, 3.0, "box"), 1, settings)
    assert scan.image_hu.shape == scan.label.shape
    assert scan.facts["pancreas_ml"] > 5


def test_glands_change_nothing_else_of_a_plan():
    plain = plan_scans(6, seed=1)
    with_glands = plan_scans(6, seed=1, glands=[Path("a.nii.gz"), Path("b.nii.gz")], gland_share=0.5)
    assert [order.seed for order in plain] == [order.seed for order in with_glands]
    assert {order.gland for order in with_glands} > {None}


def test_another_gland_or_deformation_is_another_request():
    plain = plan_scans(1, seed=1)[0]
    other = plan_scans(1, seed=1, glands=[Path("a.nii.gz")], gland_share=1.0, deformation=1.4)[0]
    assert other.request() == plain.request() | {"gland": "a.nii.gz", "deformation": 1.4}
