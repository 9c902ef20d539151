"""The scans under a path, and what else is there with the reason why it is not segmented."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from bundle.errors import InputError, bad_input
from bundle.read.archive import is_archive
from bundle.read.datalist import DATASET_FILE, case_name, folder_name, listed_images
from bundle.read.dicom_choice import Candidate, candidates, choose
from bundle.read.dicom_series import no_ct
from bundle.read.dicom_slices import dicom_files, is_dicom
from bundle.read.folder import files_in
from bundle.read.nifti import is_nifti

Scan = dict[str, str]


@dataclass(frozen=True)
class Skipped:
    """Something that could be taken for a scan and is not segmented.

    Attributes:
        path: file or folder.
        what: what it is, without anything that names the patient ("series 3, CT, 120 files").
        reason: why, in words.
    """

    path: str
    what: str
    reason: str


@dataclass(frozen=True)
class Found:
    """What is under a path.

    Attributes:
        scans: ``image`` (absolute path), ``case`` (a name, unique in the list) and for DICOM ``series_uid``.
        skipped: the rest.
    """

    scans: list[Scan] = field(default_factory=list)
    skipped: list[Skipped] = field(default_factory=list)


def find_studies(path: str | os.PathLike[str]) -> Found:
    """Return the scans to segment and what is left out.

    ``path`` is a Decathlon folder (its test list, else all its images), a folder with NIfTI files and DICOM files at
    any depth, or one scan. DICOM files are grouped by SeriesInstanceUID, wherever they lie; of the series of a study
    the one that :func:`~bundle.read.dicom_choice.choose` prefers is a scan. One that turns out to be unreadable is
    still a scan if its study has no better one, so that its case ends with a report. NIfTI files are not opened.

    Raises:
        InputError: the path does not exist or holds no scan; wrong paths in dataset.json.
    """
    root = Path(path).absolute()
    # not Path.exists, which raises for names that are too long and folders that may not be searched
    if not os.path.exists(root):
        raise bad_input(path, "the input exists", "no such file or folder", "Correct the path.")
    if root.name == DATASET_FILE or os.path.isfile(root / DATASET_FILE):
        source, images = listed_images(root)
        return Found(_named([{"image": str(image)} for image in images], source.parent))
    if os.path.isfile(root):
        return _single_file(root)
    unreadable: dict[Path, InputError] = {}
    niftis, archives = _walk(root, unreadable)
    series, damaged = candidates(dicom_files(root, below=True))
    scans, skipped = _one_per_study(series)
    for file, error in damaged.items():
        blamed = any(candidate.damaged is error for candidate in series)
        # a file that nothing is known of is a scan of its own if its folder holds no other
        if not blamed and not any(Path(scan["image"]) in (file.parent, file) for scan in scans):
            scans.append({"image": str(file.parent)})
        elif not blamed:
            skipped.append(Skipped(str(file), "a DICOM file", str(error)))
    skipped += [Skipped(str(archive), "an archive", "unpack it, or give it as an input itself") for archive in archives]
    skipped += [Skipped(str(folder), "a folder", str(problem)) for folder, problem in unreadable.items()]
    scans += [{"image": str(nifti)} for nifti in niftis]
    if not scans:
        raise _no_scan(root, series, archives, unreadable)
    return Found(_named(sorted(scans, key=_place), root), sorted(skipped, key=_skipped_path))


def find_scans(dataset_dir: str | os.PathLike[str]) -> list[Scan]:
    """Return the scans of :func:`find_studies` without what is left out.

    Raises:
        InputError: the path does not exist or holds no scan; wrong paths in dataset.json.
    """
    return find_studies(dataset_dir).scans


def _single_file(path: Path) -> Found:
    if is_archive(path):
        remedy = "Unpack it, or give it to `python -m bundle segment`, which does."
        raise bad_input(path, "a scan is a .nii or .nii.gz file or a DICOM folder", "an archive", remedy)
    scan = {"image": str(path)}
    if is_dicom(path):
        found, _ = candidates([path])
        if found and found[0].slices[0].frame is not None and found[0].uid:
            scan["series_uid"] = found[0].uid
    return Found(_named([scan], path.parent))


def _one_per_study(series: Sequence[Candidate]) -> tuple[list[Scan], list[Skipped]]:
    studies: dict[str, list[Candidate]] = defaultdict(list)
    for candidate in series:
        studies[candidate.study].append(candidate)
    scans: list[Scan] = []
    skipped: list[Skipped] = []
    for members in studies.values():
        chosen, reasons = choose(members)
        if chosen is not None:
            scans.append({"image": str(chosen.source)} | ({"series_uid": chosen.uid} if chosen.uid else {}))
        for index, reason in reasons.items():
            skipped.append(Skipped(str(members[index].source), members[index].what, reason))
    return scans, skipped


def _walk(root: Path, unreadable: dict[Path, InputError]) -> tuple[list[Path], list[Path]]:
    """Return the NIfTI files and the archives at any depth."""
    niftis, archives = [], []
    for path in files_in(root, below=True, unreadable=unreadable):
        if is_nifti(path):
            niftis.append(path)
        elif is_archive(path):
            archives.append(path)
    return niftis, archives


def _named(scans: Sequence[Scan], root: Path) -> list[Scan]:
    """Name each scan after its file, or after its path below ``root`` where file names repeat."""
    names = [case_name(scan["image"]) for scan in scans]
    named: list[Scan] = []
    used: set[str] = set()
    for scan, name in zip(scans, names, strict=True):
        if names.count(name) > 1:
            path = Path(scan["image"])
            relative = path.relative_to(root) if path.is_relative_to(root) else path
            name = folder_name("_".join((*relative.parts[:-1], name)).replace(path.anchor or "/", ""))
        unique, number = name, 2
        while unique in used:
            unique, number = f"{name}_{number}", number + 1
        used.add(unique)
        named.append({"image": scan["image"], "case": unique, **scan})
    return named


def _place(scan: Scan) -> tuple[str, bool, str]:
    """Files of a folder come before what lies in its subfolders."""
    path = Path(scan["image"])
    return (str(path), True, "") if path.is_dir() else (str(path.parent), False, path.name)


def _skipped_path(skipped: Skipped) -> str:
    return skipped.path


def _no_scan(
    root: Path, series: list[Candidate], archives: list[Path], unreadable: dict[Path, InputError]
) -> InputError:
    if series:
        return no_ct(root, series)
    if unreadable:
        return next(iter(unreadable.values()))
    received = f"{len(archives)} archives" if archives else "no .nii, no .nii.gz and no DICOM file"
    remedy = "Give a folder with NIfTI files or DICOM series; unpack archives first."
    return bad_input(root, "the folder holds scans", received, remedy)
