from __future__ import annotations

import gzip
import os
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import torch

from bundle.errors import InputError
from bundle.read import LoadScand, input_findings, read_scan

AFFINE = np.array([[0, 2.0, 0, 5], [-1.5, 0, 0, -7], [0, 0, 3.0, 11], [0, 0, 0, 1]])
DATA = Path(os.environ.get("PANCREAS_DATA", Path(__file__).parents[2] / "shared" / "data"))


def voxels() -> np.ndarray:
    """Unequal sizes and a value of its own in each voxel, between -1000 and about 400."""
    return (np.arange(9 * 10 * 40).reshape(9, 10, 40) * 0.4 - 1000).astype(np.int16)


def save(path: Path, array: np.ndarray, affine: np.ndarray | None = AFFINE) -> Path:
    nib.save(nib.Nifti1Image(array, affine), path)
    return path


@pytest.mark.parametrize("name", ["a.nii", "a.nii.gz"])
def test_a_scan_keeps_its_voxels_its_type_and_its_grid(tmp_path, name):
    scan = read_scan(save(tmp_path / name, voxels()))
    assert scan.dtype == torch.int16
    np.testing.assert_array_equal(scan[0].numpy(), voxels())
    np.testing.assert_allclose(scan.affine.numpy(), AFFINE)
    assert scan.pixdim.tolist() == [1.5, 2, 3]


def test_the_meta_data_is_that_of_monai(tmp_path):
    path = save(tmp_path / "a.nii.gz", voxels())
    meta = read_scan(path).meta
    assert meta["filename_or_obj"] == str(path)
    np.testing.assert_allclose(meta["original_affine"], AFFINE)
    assert meta["spatial_shape"].tolist() == [9, 10, 40]
    assert meta["space"] == "RAS"


@pytest.mark.parametrize("dtype", [np.int32, np.float32, np.float64, ">i2"])
def test_whole_numbers_become_int16(tmp_path, dtype):
    scan = read_scan(save(tmp_path / "a.nii.gz", voxels().astype(dtype)))
    assert scan.dtype == torch.int16
    np.testing.assert_array_equal(scan[0].numpy(), voxels())


def test_an_offset_in_the_header_is_applied(tmp_path):
    image = nib.Nifti1Image((voxels() + 1024).astype(np.uint16), AFFINE)
    image.header.set_slope_inter(1, -1024)
    nib.save(image, tmp_path / "a.nii")
    scan = read_scan(tmp_path / "a.nii")
    assert scan.dtype == torch.int16
    np.testing.assert_array_equal(scan[0].numpy(), voxels())


def test_fractions_become_float32(tmp_path):
    scan = read_scan(save(tmp_path / "a.nii", voxels().astype(np.float64) + 0.25))
    assert scan.dtype == torch.float32
    np.testing.assert_array_equal(scan[0].numpy(), voxels() + np.float32(0.25))


def test_four_dimensions_with_one_volume_are_three(tmp_path):
    np.testing.assert_array_equal(read_scan(save(tmp_path / "a.nii.gz", voxels()[..., None]))[0], voxels())


def test_a_dictionary_gets_its_scan(tmp_path):
    path = save(tmp_path / "a.nii", voxels())
    assert LoadScand("image")({"image": str(path), "case": "a"})["image"].shape == (1, 9, 10, 40)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(InputError, match=r"none\.nii: the scan exists; received no such file"):
        read_scan(tmp_path / "none.nii")


def test_a_file_that_is_no_image_is_named(tmp_path):
    path = tmp_path / "text.nii"
    path.write_text("not an image")
    with pytest.raises(InputError, match=r"text\.nii: the image can be read"):
        read_scan(path)


@pytest.mark.parametrize("name", ["a.nii", "a.nii.gz"])
def test_a_truncated_file_is_named(tmp_path, name):
    path = save(tmp_path / name, np.random.default_rng(0).integers(-1000, 400, (16, 16, 16)).astype(np.int16))
    path.write_bytes(path.read_bytes()[:3000])
    with pytest.raises(InputError, match="truncated"):
        read_scan(path)


def test_a_damaged_compressed_file_is_named(tmp_path):
    path = save(tmp_path / "a.nii.gz", voxels())
    content = bytearray(gzip.compress(bytes(5000)))
    content[20:40] = b"\xff" * 20
    path.write_bytes(bytes(content))
    with pytest.raises(InputError, match="the image can be read"):
        read_scan(path)


def test_another_format_is_refused(tmp_path):
    (tmp_path / "scan.zip").write_bytes(b"PK")
    with pytest.raises(InputError, match=r"'.zip'.*unpack"):
        read_scan(tmp_path / "scan.zip")


def test_a_header_without_position_is_refused(tmp_path):
    image = nib.Nifti1Image(voxels(), None)
    image.header.set_sform(None, code=0)
    nib.save(image, tmp_path / "a.nii")
    with pytest.raises(InputError, match="sform and qform of code 0"):
        read_scan(tmp_path / "a.nii")


def test_colour_is_refused(tmp_path):
    colour = np.zeros((9, 9, 9), dtype=[("R", "u1"), ("G", "u1"), ("B", "u1")])
    with pytest.raises(InputError, match="one real number"):
        read_scan(save(tmp_path / "a.nii", colour))


def test_a_sheared_affine_is_read_and_said(tmp_path):
    sheared = AFFINE.copy()
    sheared[0, 2] = 3 * np.tan(np.radians(10))
    scan = read_scan(save(tmp_path / "a.nii", voxels(), sheared))
    np.testing.assert_allclose(scan.affine.numpy(), sheared, atol=1e-6)
    [finding] = input_findings(scan.meta)
    assert finding["name"] == "gantry_tilt" and "10.0 degrees" in finding["text"]


def test_a_scan_larger_than_memory_is_refused(tmp_path, monkeypatch):
    def fail(*_):
        raise MemoryError

    monkeypatch.setattr("bundle.read.scan.read_voxels", fail)
    with pytest.raises(InputError, match="fits into memory; received 9x10x40 voxels"):
        read_scan(save(tmp_path / "a.nii", voxels()))


@pytest.mark.parametrize("name", ["amos_0013_slab.nii.gz", "totalsegmentator_example.nii.gz", "cort_liver.nii.gz"])
def test_real_scans_are_read(name):
    if not (DATA / "ct" / name).exists():
        pytest.skip("real scans are not at hand: set PANCREAS_DATA")
    assert read_scan(DATA / "ct" / name).dtype == torch.int16


@pytest.mark.parametrize("error", [MemoryError(), TypeError("odd"), RecursionError("deep")])
def test_whatever_a_damaged_header_makes_nibabel_raise_names_the_file(tmp_path, monkeypatch, error):
    def fail(*args, **kwargs):
        raise error

    (tmp_path / "a.nii").touch()
    monkeypatch.setattr(nib, "load", fail)
    with pytest.raises(InputError, match=r"a\.nii: the image can be read; received"):
        read_scan(tmp_path / "a.nii")
