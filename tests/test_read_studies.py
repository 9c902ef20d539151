from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
import pytest

from bundle.errors import InputError
from bundle.read import LoadScand, checked_scans, dicom_source, find_scans, find_studies, read_scan
from tests.dicom_phantoms import hu, write_series, write_slice

CORONAL = [1, 0, 0, 0, 0, -1]


def coronal(folder: Path) -> None:
    folder.mkdir(exist_ok=True)
    for index in range(9):
        write_slice(
            folder,
            index,
            SeriesInstanceUID="1.9",
            ImageOrientationPatient=CORONAL,
            ImagePositionPatient=[-20, -30 + 2.5 * index, 100],
        )


def reasons(root: Path) -> dict[str, str]:
    return {Path(skipped.path).name: skipped.reason for skipped in find_studies(root).skipped}


def chosen(root: Path) -> list[str]:
    return [Path(scan["image"]).name for scan in find_scans(root)]


def test_every_study_gives_one_scan(tmp_path):
    for study in ("7.1", "7.2"):
        for series in ("a", "b"):
            write_series(tmp_path / study / series, StudyInstanceUID=study)
    scans = find_scans(tmp_path)
    assert [Path(scan["image"]).parent.name for scan in scans] == ["7.1", "7.2"]
    assert len({scan["case"] for scan in scans}) == 2


def test_axial_slices_come_before_coronal_ones(tmp_path):
    coronal(tmp_path / "coronal")
    write_series(tmp_path / "axial", 8)
    assert chosen(tmp_path) == ["axial"]
    assert reasons(tmp_path) == {"coronal": "coronal; the study has an axial series"}


def test_a_coronal_series_is_taken_where_there_is_no_other(tmp_path):
    coronal(tmp_path / "coronal")
    assert chosen(tmp_path) == ["coronal"]


@pytest.mark.parametrize(
    "changes",
    [
        {"ConvolutionKernel": "B70f"},
        {"ConvolutionKernel": ["Br64d", "3"]},
        {"ConvolutionKernel": "LUNG"},
        {"ConvolutionKernel": "BONEPLUS"},
        {"ConvolutionKernel": "FC51"},
        {"SeriesDescription": "Thorax 1.0 lung"},
    ],
)
def test_soft_kernels_come_before_those_for_lung_and_bone(tmp_path, changes):
    write_series(tmp_path / "sharp", 12, **changes)
    write_series(tmp_path / "soft", 9, ConvolutionKernel="B30f")
    assert chosen(tmp_path) == ["soft"]
    assert "lung or bone" in reasons(tmp_path)["sharp"]


@pytest.mark.parametrize("kernel", ["B30f", "Br40d", "I30f", "STANDARD", "FC08", "B", "Qr36"])
def test_kernels_for_soft_tissue_are_known(tmp_path, kernel):
    write_series(tmp_path / "soft", 12, ConvolutionKernel=kernel)
    write_series(tmp_path / "sharp", 9, ConvolutionKernel="B70f")
    assert chosen(tmp_path) == ["soft"]


def test_originals_come_before_reformats(tmp_path):
    write_series(tmp_path / "reformat", 12, ImageType=["DERIVED", "SECONDARY", "AXIAL"])
    write_series(tmp_path / "original", 10, ImageType=["ORIGINAL", "PRIMARY", "AXIAL"])
    assert chosen(tmp_path) == ["original"]
    assert "reformat" in reasons(tmp_path)["reformat"]


def write_spaced(folder: Path, count: int, step_mm: float) -> None:
    folder.mkdir()
    for index in range(count):
        place = [-20, -30, round(step_mm * index, 3)]
        write_slice(folder, index, SeriesInstanceUID=f"1.{count}", ImagePositionPatient=place)


def test_thin_slices_come_before_thick_ones(tmp_path):
    write_spaced(tmp_path / "thick", 8, 5)
    write_spaced(tmp_path / "thin", 40, 1)
    assert chosen(tmp_path) == ["thin"]
    assert reasons(tmp_path)["thick"] == "slices 5 mm apart; another series of the study has them nearer"


def test_coverage_comes_before_thin_slices(tmp_path):
    write_spaced(tmp_path / "short", 30, 1)
    write_spaced(tmp_path / "long", 20, 2.5)
    assert chosen(tmp_path) == ["long"]
    assert reasons(tmp_path)["short"] == "covers 30 mm; another series of the study covers 50 mm"


def test_below_one_millimetre_coverage_decides(tmp_path):
    write_spaced(tmp_path / "thinner", 90, 0.5)
    write_spaced(tmp_path / "thin", 50, 1)
    assert chosen(tmp_path) == ["thinner"]  # 45 mm are enough of 50, and it has more slices


def test_a_series_that_can_be_read_comes_before_a_better_one_that_cannot(tmp_path):
    whole = write_series(tmp_path / "whole", 9, ConvolutionKernel="B70f")
    gap = write_series(tmp_path / "gap", 12)
    next(path for path in gap.iterdir() if path.name.startswith("95")).unlink()
    assert chosen(tmp_path) == [whole.name]
    assert "a gap between" in reasons(tmp_path)["gap"]


def test_an_unreadable_series_alone_is_a_scan_that_is_refused_when_read(tmp_path):
    gap = write_series(tmp_path / "gap", 12)
    next(path for path in gap.iterdir() if path.name.startswith("95")).unlink()
    [scan] = find_scans(tmp_path)
    with pytest.raises(InputError, match="a gap between"):
        LoadScand("image")(scan)


def test_what_is_no_scan_is_listed_by_name(tmp_path):
    write_series(tmp_path / "ct")
    write_series(tmp_path / "scout", 1, ImageType=["ORIGINAL", "PRIMARY", "LOCALIZER"])
    write_series(tmp_path / "mr", Modality="MR", SeriesNumber=4)
    write_series(tmp_path / "rtstruct", 1, Modality="RTSTRUCT", StudyInstanceUID="1.5")
    write_series(tmp_path / "shot", 1, SOPClassUID="1.2.840.10008.5.1.4.1.1.7")
    (tmp_path / "more.zip").write_bytes(b"")
    assert chosen(tmp_path) == ["ct"]
    assert reasons(tmp_path) == {
        "scout": "a localizer (scout)",
        "mr": "modality MR, not CT",
        "rtstruct": "a structure set (RTSTRUCT)",
        "shot": "a secondary capture (a screen shot), not a reconstruction",
        "more.zip": "unpack it, or give it as an input itself",
    }
    assert "series 4, MR, 9 files" in [skipped.what for skipped in find_studies(tmp_path).skipped]


def test_a_path_without_ct_is_refused_by_what_it_holds(tmp_path):
    write_series(tmp_path / "mr", Modality="MR")
    with pytest.raises(InputError, match="the scan is a CT series; received modality MR, not CT"):
        find_studies(tmp_path)


def test_several_series_in_one_folder_are_told_apart(tmp_path):
    write_series(tmp_path, 9, SeriesInstanceUID="1.1", StudyInstanceUID="1")
    write_series(tmp_path, 12, SeriesInstanceUID="1.2", StudyInstanceUID="2")
    scans = find_scans(tmp_path)
    assert [scan["series_uid"] for scan in scans] == ["1.1", "1.2"]
    assert len({scan["case"] for scan in scans}) == 2
    assert [LoadScand("image")(scan)["image"].shape[-1] for scan in scans] == [9, 12]
    assert checked_scans(scans, read_voxels=True) == scans


def test_a_series_spread_over_folders_is_one_scan(tmp_path):
    for index in range(10):
        (tmp_path / f"d{index % 2}").mkdir(exist_ok=True)
        write_slice(tmp_path / f"d{index % 2}", index)
    [scan] = find_scans(tmp_path)
    assert scan["image"] == str(tmp_path)
    image = LoadScand("image")(scan)["image"]
    assert image.shape[-1] == 10
    np.testing.assert_array_equal(image[0, :, :, 7].numpy(), hu(7).T)
    assert len(dicom_source(image.meta).files) == 10


def test_a_series_folder_given_itself_is_taken_whatever_its_kernel(tmp_path):
    write_series(tmp_path / "soft")
    write_series(tmp_path / "lung", ConvolutionKernel="B70f")
    assert chosen(tmp_path / "lung") == ["lung"]


def test_a_damaged_file_beside_several_series_is_listed(tmp_path):
    write_series(tmp_path, SeriesInstanceUID="1.1", StudyInstanceUID="1")
    write_series(tmp_path, SeriesInstanceUID="1.2", StudyInstanceUID="2")
    (tmp_path / "damaged").write_bytes(bytes(128) + b"DICM")
    found = find_studies(tmp_path)
    assert len(found.scans) == 2
    assert [Path(skipped.path).name for skipped in found.skipped] == ["damaged"]


def test_a_damaged_file_counts_against_the_only_series_of_its_folder(tmp_path):
    write_series(tmp_path)
    (tmp_path / "damaged").write_bytes(bytes(128) + b"DICM")
    [scan] = find_scans(tmp_path)
    with pytest.raises(InputError, match="damaged: "):
        LoadScand("image")(scan)


def test_the_chosen_series_is_read_and_the_other_named_in_the_log(tmp_path, caplog):
    write_series(tmp_path, 12, SeriesInstanceUID="1.1", ConvolutionKernel="B70f")
    write_series(tmp_path, 9, SeriesInstanceUID="1.2")
    with caplog.at_level(logging.WARNING):
        assert read_scan(tmp_path).shape[-1] == 9
    assert "series 1.1 (CT, 12 files) is not read: a kernel for lung or bone" in caplog.text


def test_a_series_that_is_not_there_is_refused(tmp_path):
    write_series(tmp_path)
    with pytest.raises(InputError, match="none with UID 1.2.3.4.5"):
        read_scan(tmp_path, series_uid="1.2.3.4.5")


def test_a_folder_that_cannot_be_read_is_listed_and_the_others_go_on(tmp_path, monkeypatch):
    write_series(tmp_path / "open")
    (tmp_path / "locked").mkdir()
    entries = Path.iterdir

    def locked(path):
        if path.name == "locked":
            raise PermissionError(13, "Permission denied")
        return entries(path)

    monkeypatch.setattr(Path, "iterdir", locked)
    assert chosen(tmp_path) == ["open"]
    assert "the folder can be read; received Permission denied." in reasons(tmp_path)["locked"]
    with pytest.raises(InputError, match="locked: the folder can be read"):
        find_studies(tmp_path / "locked")


@pytest.mark.parametrize("name", ["x" * 300, "x" * 300 + ".nii", "scan.nii/x"])
def test_a_path_that_cannot_be_is_refused(tmp_path, name):
    (tmp_path / "scan.nii").touch()
    with pytest.raises(InputError, match="the input exists; received no such file or folder"):
        find_studies(tmp_path / name)


@pytest.mark.parametrize(
    ("better", "worse"),
    [
        ({"SeriesDescription": "Abd venös 3.0"}, {"SeriesDescription": "Abd arteriell 3.0"}),
        ({"SeriesDescription": "PV phase"}, {"SeriesDescription": "Abdomen"}),
        ({"ContrastBolusAgent": "Agent"}, {"SeriesDescription": "Abdomen"}),
        ({"SeriesDescription": "Abdomen"}, {"SeriesDescription": "delayed"}),
        ({"SeriesDescription": "arterial"}, {"SeriesDescription": "Abdomen w/o contrast"}),
        ({"SeriesDescription": "Abdomen"}, {"SeriesDescription": "nativ"}),
    ],
)
def test_the_better_phase_breaks_a_tie(tmp_path, better, worse):
    write_series(tmp_path / "better", **better)
    write_series(tmp_path / "worse", **worse)
    assert chosen(tmp_path) == ["better"]
    assert "; another series has " in reasons(tmp_path)["worse"]


def test_thin_slices_come_before_the_better_phase(tmp_path):
    for index in range(5, 25):
        position = [-20, -30, 100 + 1.25 * index]
        (tmp_path / "thin").mkdir(exist_ok=True)
        write_slice(
            tmp_path / "thin", 0, SeriesInstanceUID="1.8", ImagePositionPatient=position, SeriesDescription="arterial"
        )
    write_series(tmp_path / "thick", 10, SeriesDescription="portal venous")
    assert chosen(tmp_path) == ["thin"]
