"""Writing of files: complete or not at all."""

from __future__ import annotations

import nibabel as nib
import numpy as np
import pytest
from typer.testing import CliRunner

from bundle.cli import app
from bundle.errors import InputError
from bundle.files import replacing, write_nifti, write_text


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
def test_an_interrupted_write_leaves_the_old_file_and_no_other(error, tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("old")
    with pytest.raises(error), replacing(path) as temporary:
        temporary.write_text("half")
        raise error
    assert [file.name for file in tmp_path.iterdir()] == ["a.txt"]
    assert path.read_text() == "old"


def test_a_folder_in_place_of_a_file_is_refused(tmp_path):
    with pytest.raises(InputError, match="the output is a file; received a folder"):
        write_text("new", tmp_path)


def test_a_file_in_place_of_the_folder_is_refused(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match="file: the output is a folder; received a file"):
        write_text("new", tmp_path / "file" / "a.txt")


@pytest.mark.parametrize(
    "command",
    [
        *("demo", "package", "export", "real-ct --data .", "nih-slices --data ."),
        *("compare --data .", "learning-curve --data .", "ablation --data . --real .", "clicks --data ."),
    ],
)
def test_a_command_refuses_a_file_in_place_of_its_folder(command, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").touch()
    ended = CliRunner().invoke(app, [*command.split(), "--output", "file"])
    assert isinstance(ended.exception, InputError), ended.output
    assert "file: the output is a folder; received a file. Give another --output." in str(ended.exception)


def test_text_is_utf8_in_a_folder_that_is_made(tmp_path):
    write_text("\u00d7\n", tmp_path / "new" / "a.md")
    assert (tmp_path / "new" / "a.md").read_bytes() == b"\xc3\x97\n"


def test_nifti_keeps_voxels_type_and_both_affines(tmp_path):
    voxels = np.arange(24, dtype=np.int16).reshape(2, 3, 4)
    affine = np.diag([-0.5, 0.75, 2.0, 1.0])
    write_nifti(voxels, affine, tmp_path / "a.nii.gz")
    image = nib.load(tmp_path / "a.nii.gz")
    assert image.get_data_dtype() == np.int16 and np.array_equal(image.get_fdata(), voxels)
    assert np.allclose(image.get_qform(), affine) and np.allclose(image.get_sform(), affine)
    assert image.header.get_xyzt_units()[0] == "mm"


def test_a_file_name_that_is_no_text_is_written_escaped(tmp_path):
    write_text("\udcff", tmp_path / "a.html")
    assert (tmp_path / "a.html").read_bytes() == rb"\udcff"
