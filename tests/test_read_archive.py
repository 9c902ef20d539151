from __future__ import annotations

import zipfile
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from bundle.errors import InputError
from bundle.read import find_scans, read_scan
from bundle.read.archive import named_after, unpacked
from tests.dicom_phantoms import write_series
from tests.test_read_scan import DATA


def pack(path: Path, files: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return path


def test_a_zip_is_a_folder_for_as_long_as_it_is_needed(tmp_path):
    with unpacked(pack(tmp_path / "a.b.zip", {"x/1.txt": b"one", "2.txt": b"two"})) as folder:
        assert folder.name == "a.b"
        assert {p.relative_to(folder).as_posix() for p in folder.rglob("*.txt")} == {"x/1.txt", "2.txt"}
        assert (folder / "x" / "1.txt").read_bytes() == b"one"
    assert not folder.parent.exists()


def test_nothing_is_left_behind_when_the_work_fails(tmp_path):
    with pytest.raises(KeyError):
        with unpacked(pack(tmp_path / "a.zip", {"a": b""})) as folder:
            raise KeyError
    assert not folder.parent.exists()


def test_zipped_dicom_and_nifti_are_found_and_read(tmp_path):
    series = write_series(tmp_path / "s")
    nib.save(nib.Nifti1Image(np.arange(729, dtype=np.int16).reshape(9, 9, 9) - 600, np.eye(4)), tmp_path / "n.nii.gz")
    files = {f"deep/{path.name}": path.read_bytes() for path in series.iterdir()}
    archive = pack(tmp_path / "p1.zip", files | {"n.nii.gz": (tmp_path / "n.nii.gz").read_bytes()})
    with unpacked(archive) as folder:
        scans = find_scans(folder)
        assert [read_scan(scan["image"], series_uid=scan.get("series_uid")).shape[1:] for scan in scans] == [
            (9, 9, 9),
            (9, 10, 9),
        ]
        assert [scan["case"] for scan in named_after(archive, scans)] == ["p1_n", "p1_deep"]
        assert [scan["case"] for scan in named_after(archive, scans[:1])] == ["p1"]


@pytest.mark.parametrize("name", ["../evil", "/etc/evil", "a/../../evil", "..\\evil", "C:\\evil", "C:evil"])
def test_a_path_that_leads_outside_is_refused(tmp_path, name):
    with pytest.raises(InputError, match="paths in an archive stay inside it"):
        with unpacked(pack(tmp_path / "a.zip", {"fine": b"", name: b"x"})):
            pass


def test_an_archive_that_would_grow_too_large_is_refused_with_its_size(tmp_path):
    bomb = pack(tmp_path / "a.zip", {"zeros": bytes(2 * 1024**2)})
    assert bomb.stat().st_size < 10_000
    with pytest.raises(InputError, match="at most 0.0 GB and 100000 files; received 0.0 GB in 1 files"):
        with unpacked(bomb, max_bytes=1024**2):
            pass


def test_an_archive_that_lies_about_its_size_does_not_grow(tmp_path):
    path = pack(tmp_path / "a.zip", {"zeros": bytes(2 * 1024**2)})
    content = path.read_bytes()
    path.write_bytes(content.replace((2 * 1024**2).to_bytes(4, "little"), (100).to_bytes(4, "little")))
    with pytest.raises(InputError, match="the archive can be unpacked"):
        with unpacked(path):
            pass


@pytest.mark.parametrize("damage", ["cut", "noise", "text", "empty"])
def test_a_damaged_archive_is_refused(tmp_path, damage):
    path = pack(tmp_path / "a.zip", {"a": np.random.default_rng(0).bytes(5000)})
    content = path.read_bytes()
    noisy = content[:1000] + b"\xff" * 100 + content[1100:]
    path.write_bytes({"cut": content[:-40], "noise": noisy, "text": b"text", "empty": b""}[damage])
    with pytest.raises(InputError, match=r"a\.zip: the archive can be unpacked"):
        with unpacked(path):
            pass


def test_an_encrypted_archive_is_refused(tmp_path):
    path = pack(tmp_path / "a.zip", {"a": b"x"})
    content = bytearray(path.read_bytes())
    for signature, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        content[content.index(signature) + offset] |= 1
    path.write_bytes(content)
    with pytest.raises(InputError, match="not encrypted; received 'a' with a password"):
        with unpacked(path):
            pass


def test_hidden_files_and_links_are_left_out(tmp_path):
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w") as archive:
        link = zipfile.ZipInfo("link")
        link.external_attr = 0o120777 << 16
        archive.writestr(link, "/etc/passwd")
        for name in ("__MACOSX/x", ".DS_Store", "d/.hidden", "kept"):
            archive.writestr(name, "x")
    with unpacked(path) as folder:
        assert [p.name for p in folder.rglob("*")] == ["kept"]


def test_other_archives_and_missing_ones_are_refused(tmp_path):
    (tmp_path / "a.tar.gz").write_bytes(b"x")
    with pytest.raises(InputError, match="an archive is a .zip file"):
        with unpacked(tmp_path / "a.tar.gz"):
            pass
    with pytest.raises(InputError, match="no such file"):
        with unpacked(tmp_path / "b.zip"):
            pass


def test_an_archive_that_nobody_unpacked_is_refused(tmp_path):
    with pytest.raises(InputError, match="received an archive. Unpack it"):
        find_scans(pack(tmp_path / "a.zip", {"a": b""}))


def test_the_real_archive_is_one_scan():
    path = DATA / "ct" / "ircadb01_dicom.zip"
    if not path.exists():
        pytest.skip("real scans are not at hand: set PANCREAS_DATA")
    with unpacked(path) as folder:
        [scan] = find_scans(folder)
        assert read_scan(scan["image"], series_uid=scan["series_uid"]).shape == (1, 512, 512, 129)


def test_the_name_of_an_archive_is_made_one_of_a_folder():
    scans = [{"image": "a", "case": "a" * 149}, {"image": "b", "case": "b"}]
    assert [scan["case"] for scan in named_after(Path("x:y.zip"), scans)] == ["x_y_" + "a" * 146, "x_y_b"]
