"""The shape of real expert masks, and the table of many."""

from __future__ import annotations

import os
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from typer.testing import CliRunner

from bundle.errors import InputError
from bundle.measure.on_masks import app, measure_masks, quantile_table
from bundle.measure.plausible import PLAUSIBLE, implausible

DATA = Path(os.environ.get("PANCREAS_DATA", Path(__file__).parents[2] / "shared" / "data")) / "pancreas_masks"

needs_masks = pytest.mark.skipif(not DATA.is_dir(), reason=f"no real masks in {DATA}; set PANCREAS_DATA")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Return a folder with two masks: value 1 is a box of 40 x 10 x 10 mm, value 2 a voxel beside it."""
    folder = tmp_path_factory.mktemp("masks")
    values = np.zeros((50, 16, 16), dtype=np.uint8)
    values[5:45, 3:13, 3:13] = 1
    values[48, 14, 14] = 2
    nib.save(nib.Nifti1Image(values, np.eye(4)), folder / "box.nii.gz")
    nib.save(nib.Nifti1Image(np.zeros((8, 8, 8), dtype=np.uint8), np.eye(4)), folder / "empty.nii.gz")
    return folder


def test_a_bit_chooses_the_mask(folder):
    assert measure_masks(folder)["box"]["pieces"] == 2
    assert measure_masks(folder, bit=1)["box"]["pieces"] == 1


def test_table_leaves_out_what_an_empty_mask_does_not_have(folder):
    table = quantile_table(measure_masks(folder, bit=1).values())
    assert "| `volume_ml` | 2 | 0 | 0.2 | 1 | 2 | 3 | 3.8 | 4 |" in table
    assert "| `pieces` | 1 | 1 | 1 | 1 | 1 | 1 | 1 | 1 |" in table


def test_command_prints_the_table_and_what_is_implausible(folder):
    result = CliRunner().invoke(app, [str(folder), "--bit", "1"])
    assert result.exit_code == 0
    assert "| `length_mm` | 1 | 40" in result.stdout
    assert "box: volume_ml 4 is not within 15 to 250" in result.stdout


def test_folder_without_masks_is_refused(tmp_path):
    with pytest.raises(InputError, match="holds masks"):
        measure_masks(tmp_path)


def test_ends_of_the_ranges_are_plausible():
    for end in (0, 1):
        assert implausible({name: limits[end] for name, limits in PLAUSIBLE.items()}) == []


def test_what_was_not_measured_is_not_implausible():
    assert implausible({"volume_ml": 70.0, "mean_hu": None}) == []


def test_values_out_of_range_are_named():
    assert implausible({"volume_ml": 868.0, "length_mm": 30.0}) == ["volume_ml", "length_mm"]


@pytest.mark.slow
@needs_masks
def test_all_expert_masks_are_plausible():
    rows = measure_masks(DATA, bit=1)
    assert {case: names for case, row in rows.items() if (names := implausible(row))} == {}
    # Healthy glands have 72 ml (Saisho 2007) and 164 mm (cadavers); these are of patients with lesions.
    assert 60 < np.median([row["volume_ml"] for row in rows.values()]) < 110
    assert 140 < np.median([row["length_mm"] for row in rows.values()]) < 220


@needs_masks
@pytest.mark.parametrize("case", sorted(path.name for path in DATA.glob("*.nii.gz"))[4::25] if DATA.is_dir() else [])
def test_a_few_expert_masks_are_plausible(case, tmp_path):
    (tmp_path / case).symlink_to(DATA / case)
    (row,) = measure_masks(tmp_path, bit=1).values()
    assert implausible(row) == []
