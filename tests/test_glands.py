"""Pancreas masks as anatomies."""

from __future__ import annotations

from pathlib import Path

import nibabel
import numpy as np
import pytest

from bundle.errors import InputError
from bundle.rendering.anatomy import read_anatomy
from bundle.rendering.glands import build_glands, read_gland, upright
from bundle.rendering.tissues import Tissue


def write_mask(path: Path, codes: np.ndarray, spacing_mm: tuple[float, float, float] = (2.0, 2.0, 2.0)) -> Path:
    nibabel.save(nibabel.Nifti1Image(codes.astype(np.uint8), np.diag([*spacing_mm, 1.0])), path)
    return path


def block(value: int = 1) -> np.ndarray:
    """A block of 20 x 10 x 10 voxels: 16 ml of 2 mm voxels."""
    codes = np.zeros((40, 30, 30))
    codes[5:25, 5:15, 5:15] = value
    return codes


def test_the_gland_has_the_volume_of_the_mask(tmp_path):
    gland = read_gland(write_mask(tmp_path / "msd_001.nii.gz", block()), spacing_mm=1.0)
    assert gland is not None
    assert (gland.tissues == Tissue.PANCREAS).sum() / 1000 == pytest.approx(16, rel=0.05)


def test_only_the_first_bit_is_the_gland(tmp_path):
    codes = block(1 + 4)
    codes[25:39, 5:15, 5:15] = 2 + 8  # what networks said
    gland = read_gland(write_mask(tmp_path / "msd_001.nii.gz", codes), spacing_mm=2.0)
    assert gland is not None and int((gland.tissues > 0).sum()) == 2000


def test_late_cases_are_turned_about_the_anterior_axis():
    mask = np.zeros((3, 3, 3), np.uint8)
    mask[0, 1, 2] = 1
    assert upright(mask, "msd_401.nii.gz")[0, 1, 2] == 1
    assert upright(mask, "msd_423.nii.gz")[2, 1, 0] == 1


def test_a_mask_that_is_no_glands_size_is_left_out(tmp_path):
    write_mask(tmp_path / "msd_001.nii.gz", block())
    write_mask(tmp_path / "msd_002.nii.gz", np.ones((50, 50, 50)), (2.0, 2.0, 5.0))  # 2.5 litres
    assert [path.name for path in build_glands(tmp_path, tmp_path / "glands")] == ["msd_001.nii.gz"]


def test_a_mask_that_is_left_out_is_named_with_its_volume(tmp_path, caplog):
    path = write_mask(tmp_path / "msd_002.nii.gz", np.ones((50, 50, 50)), (2.0, 2.0, 5.0))
    assert read_gland(path) is None
    assert f"left out: {path}: a mask shows a gland (bit 1) of 5-300 ml; received 2500.0 ml." in caplog.text


def test_masks_without_any_gland_are_refused(tmp_path):
    write_mask(tmp_path / "msd_001.nii.gz", block(2))
    with pytest.raises(InputError, match="a mask shows a gland .*; received none among 1 masks"):
        build_glands(tmp_path, tmp_path / "glands")


def test_a_mask_of_slices_too_far_apart_is_refused(tmp_path):
    with pytest.raises(InputError, match="at most 10 mm apart"):
        read_gland(write_mask(tmp_path / "msd_001.nii.gz", block(), (2.0, 2.0, 50.0)))


def test_a_written_gland_reads_as_an_anatomy(tmp_path):
    write_mask(tmp_path / "msd_001.nii.gz", block())
    (path,) = build_glands(tmp_path, tmp_path / "glands", spacing_mm=2.0)
    assert read_anatomy(path, spacing_mm=2.0).patients == ("msd_001",)


def test_a_folder_without_masks_is_named(tmp_path):
    with pytest.raises(InputError, match="holds label maps"):
        build_glands(tmp_path, tmp_path / "glands")


def test_an_output_that_is_a_file_is_refused_before_masks_are_read(tmp_path):
    (tmp_path / "msd_001.nii.gz").touch()
    (tmp_path / "glands").touch()
    with pytest.raises(InputError, match="glands: the output is a folder; received a file"):
        build_glands(tmp_path, tmp_path / "glands")
