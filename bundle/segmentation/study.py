"""What is to be segmented: the scans below the inputs, each with the name of its folder."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path

from bundle.errors import InputError, bad_input
from bundle.read.archive import is_archive, named_after, unpacked
from bundle.read.dicom_slices import dicom_files
from bundle.read.scan import read_header
from bundle.read.studies import Found, find_studies
from bundle.write import report
from bundle.write.case import RESULT_FILES

_RUN_FILES = ("index.html", "errors.log")  # of the output folder itself: no case is called so
_SHORTEST_NAME = 5  # a shorter file name, such as "12", may be anything in a sentence, and tells nothing of a patient


@dataclass(frozen=True)
class Study:
    """One scan to segment.

    Attributes:
        case: its name, and that of its folder in the output.
        image: NIfTI file, or folder of a DICOM series.
        series_uid: which series of the folder, where that is known.
        renamed: (text, replacement): what results and messages say in place of what the reader was given.
        clicks: ``foreground`` and ``background`` to lists of voxels (x, y, z), see :mod:`bundle.clicks`.
    """

    case: str
    image: str
    series_uid: str | None = None
    renamed: tuple[tuple[str, str], ...] = ()
    clicks: Mapping[str, Sequence[Sequence[float]]] = field(default_factory=dict)

    @cached_property
    def files(self) -> list[Path]:
        """The files that hold the scan, in order of their names; all of a folder whose series cannot be read."""
        path = Path(self.image)
        if not path.is_dir():
            return [path]
        try:
            source = read_header(path, self.series_uid).handle.source
        except InputError:
            return sorted(dicom_files(path, below=True))
        return sorted(source.files)

    def public(self, text: str) -> str:
        """Return ``text`` as results and messages may show it."""
        for old, new in self.renamed:
            text = text.replace(old, new)
        return text


@dataclass
class Inputs:
    """What the inputs hold.

    Attributes:
        studies: to segment; no case name repeats.
        skipped: what is left out: (name, reason).
        refused: inputs without a scan that can be read: (name, reason).
    """

    studies: list[Study] = field(default_factory=list)
    skipped: list[tuple[str, str]] = field(default_factory=list)
    refused: list[tuple[str, str]] = field(default_factory=list)


def find_inputs(paths: Sequence[Path], output: Path, archives: ExitStack) -> Inputs:
    """Return the studies below all paths, those results left out that lie in the output folder.

    Args:
        paths: as the user gave them.
        output: folder for the results.
        archives: keeps unpacked zip files until it is closed.
    """
    inputs = Inputs()
    for path in paths:
        try:
            _add(path, archives, inputs, output)
        except InputError as error:
            inputs.refused.append((path.name or str(path), str(error)))
    return inputs


def one_study(path: Path, archives: ExitStack, anonymize: bool = False) -> Study:
    """Return the only study below ``path``.

    Args:
        path: as the user gave it.
        archives: keeps an unpacked zip file until it is closed.
        anonymize: call it ``case_001``.

    Raises:
        InputError: there is none, or more than one.
    """
    inputs = Inputs()
    _add(path, archives, inputs)
    if len(inputs.studies) != 1:
        cases = [study.case for study in inputs.studies]
        received = f"{len(cases)}: {', '.join(cases[:3])}" + (" and more" if len(cases) > 3 else "")
        remedy = "Give one of them, or segment all with `python -m bundle segment`."
        raise bad_input(path, "one scan is segmented at a time", received, remedy)
    return (anonymous(inputs.studies) if anonymize else inputs.studies)[0]


def anonymous(studies: Sequence[Study]) -> list[Study]:
    """Return the studies as ``case_001`` and so on, in whose results the names of folders and files do not appear."""
    return [_anonymous(study, f"case_{number:03d}") for number, study in enumerate(studies, start=1)]


def with_clicks(
    study: Study, foreground: Sequence[Sequence[float]] = (), background: Sequence[Sequence[float]] = ()
) -> Study:
    """Return the study with the clicks of a user, voxels (x, y, z) of the scan counted from 0; none change nothing."""
    given = {"foreground": list(foreground), "background": list(background)}
    return replace(study, clicks={kind: voxels for kind, voxels in given.items() if voxels})


def _add(path: Path, archives: ExitStack, inputs: Inputs, output: Path | None = None) -> None:
    """Add what is below ``path``, a zip file being a folder for as long as ``archives`` is open."""
    if not (os.path.isfile(path) and is_archive(path)):
        _add_found(find_studies(path), path, (), inputs, output)
        return
    folder = archives.enter_context(unpacked(path))
    renamed = ((str(folder), str(path)),)
    try:
        found = find_studies(folder)
    except InputError as error:
        raise InputError(str(error).replace(*renamed[0])) from error
    named = Found(named_after(path, found.scans), found.skipped)
    _add_found(named, folder, renamed, inputs, output)


def _add_found(
    found: Found, root: Path, renamed: tuple[tuple[str, str], ...], inputs: Inputs, output: Path | None
) -> None:
    used = {*_RUN_FILES, *(study.case for study in inputs.studies)}
    for scan in found.scans:
        if not _is_result(Path(scan["image"]), output):
            case = _unused(scan["case"], used)
            inputs.studies.append(Study(case, scan["image"], scan.get("series_uid"), renamed))
    for skipped in found.skipped:
        if not _is_result(Path(skipped.path), output):
            name = os.path.relpath(skipped.path, root.absolute())
            inputs.skipped.append((root.name if name == "." else name, f"{skipped.what}: {skipped.reason}"))


def _anonymous(study: Study, case: str) -> Study:
    path = Path(study.image)
    renamed = {study.image: case, str(path.parent) + os.sep: "", study.case: case}
    names = {entry.name for entry in path.rglob("*")} if path.is_dir() else {path.name}
    renamed |= {name: f"file_{number}" for number, name in enumerate(sorted(names), 1)}
    if study.series_uid:
        renamed[study.series_uid] = "series"
    kept = [(old, new) for old, new in renamed.items() if len(old) >= _SHORTEST_NAME]
    # the longest first: a path before the name of its file
    return Study(case, study.image, study.series_uid, tuple(sorted(kept, key=_length, reverse=True)))


def _length(pair: tuple[str, str]) -> int:
    return len(pair[0])


def _is_result(path: Path, output: Path | None) -> bool:
    """Whether this is a result of an earlier run, or a case's folder that holds nothing but results."""
    if output is None or not path.is_relative_to(output.absolute()):
        return False
    if path.is_dir():
        return (path / report.FILE_NAME).is_file() and all(entry.name in RESULT_FILES for entry in path.iterdir())
    return path.name in RESULT_FILES


def _unused(case: str, used: set[str]) -> str:
    unique, number = case, 2
    while unique in used:
        unique, number = f"{case}_{number}", number + 1
    used.add(unique)
    return unique
