"""A zip archive as a folder, for as long as it is needed."""

from __future__ import annotations

import lzma
import os
import shutil
import stat
import struct
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path, PurePosixPath, PureWindowsPath

from bundle.errors import InputError, bad_input
from bundle.read.datalist import folder_name
from bundle.read.scratch import scratch_folder

MAX_UNPACKED_BYTES = 20 * 1024**3
MAX_FILES = 100_000

_OTHER_SUFFIXES = (".tar", ".tar.gz", ".tgz", ".7z", ".rar", ".tar.bz2", ".tar.xz")
_READ_ERRORS = (
    zipfile.BadZipFile,
    zlib.error,
    lzma.LZMAError,
    struct.error,
    EOFError,
    NotImplementedError,
    RuntimeError,
    OSError,
    ValueError,
)


def is_archive(path: Path) -> bool:
    """Whether the name is that of an archive; only .zip is unpacked."""
    return path.name.lower().endswith((".zip", *_OTHER_SUFFIXES))


@contextmanager
def unpacked(path: str | os.PathLike[str], max_bytes: int = MAX_UNPACKED_BYTES) -> Iterator[Path]:
    """Give a temporary folder, named after the archive, with the files of a zip; it is removed afterwards.

    Links, hidden files and the folder ``__MACOSX`` are left out. Archives in the archive stay packed.

    Args:
        path: of the .zip file.
        max_bytes: the files may take together.

    Raises:
        InputError: no zip, a damaged or encrypted one, one with paths that lead outside it, one that would take more
            than ``max_bytes``, :data:`MAX_FILES` files or the space left on the disk.
    """
    source = Path(path)
    if not os.path.isfile(source):
        raise bad_input(source, "the archive exists", "no such file", "Correct the path.")
    if not source.name.lower().endswith(".zip"):
        raise bad_input(source, "an archive is a .zip file", repr(source.suffix), "Unpack it and give the folder.")
    with scratch_folder() as temporary:
        folder = temporary / (source.name[: -len(".zip")].strip(". ") or "archive")
        folder.mkdir()
        try:
            with zipfile.ZipFile(source) as archive:
                members = _checked(source, archive.infolist(), max_bytes, shutil.disk_usage(temporary).free)
                for member in members:
                    _extract(archive, member, folder)
        except InputError:
            raise
        except _READ_ERRORS as error:
            reason = (str(error).strip() or type(error).__name__).splitlines()[0]
            remedy = "Copy or download it again, or unpack it and give the folder."
            raise bad_input(source, "the archive can be unpacked", reason, remedy) from error
        yield folder


def named_after(archive: Path, scans: Sequence[dict[str, str]]) -> list[dict[str, str]]:
    """Return the scans found in an unpacked archive with its name in their ``case``: alone if there is only one."""
    name = archive.name[: -len(".zip")] if archive.name.lower().endswith(".zip") else archive.name
    if len(scans) == 1:
        return [{**scans[0], "case": folder_name(name)}]
    return [{**scan, "case": folder_name(f"{name}_{scan['case']}")} for scan in scans]


def _checked(
    source: Path, members: Sequence[zipfile.ZipInfo], max_bytes: int, free_bytes: int
) -> list[zipfile.ZipInfo]:
    """Return the members to unpack, none of which leads outside the folder."""
    total = sum(member.file_size for member in members)
    if total > max_bytes or len(members) > MAX_FILES:
        raise bad_input(
            source,
            f"an archive holds at most {_gb(max_bytes)} and {MAX_FILES} files",
            f"{_gb(total)} in {len(members)} files",
            "Unpack it yourself if that is right, and give the folder.",
        )
    if total > free_bytes:
        received = f"{_gb(free_bytes)} free"
        remedy = "Make room, or let TMPDIR name a folder on a larger disk."
        raise bad_input(source, f"the disk has room for the {_gb(total)} of the archive", received, remedy)
    for member in members:
        if _leads_outside(member.filename):
            received, remedy = repr(member.filename), "It may be an attack: ask where the archive comes from."
            raise bad_input(source, "the paths in an archive stay inside it", received, remedy)
        if member.flag_bits & 1:
            remedy = "Unpack it yourself and give the folder."
            raise bad_input(source, "the archive is not encrypted", f"{member.filename!r} with a password", remedy)
    return [member for member in members if _is_wanted(member)]


def _leads_outside(name: str) -> bool:
    windows = PureWindowsPath(name)
    return PurePosixPath(name).is_absolute() or bool(windows.drive or windows.root) or ".." in windows.parts


def _is_wanted(member: zipfile.ZipInfo) -> bool:
    parts = PureWindowsPath(member.filename).parts
    hidden = any(part.startswith(".") or part == "__MACOSX" for part in parts)
    return bool(parts) and not (hidden or member.is_dir() or stat.S_ISLNK(member.external_attr >> 16))


def _extract(archive: zipfile.ZipFile, member: zipfile.ZipInfo, folder: Path) -> None:
    target = folder.joinpath(*PureWindowsPath(member.filename).parts)
    target.parent.mkdir(parents=True, exist_ok=True)
    # zipfile stops at the size that the archive states, which was counted
    with archive.open(member) as packed, target.open("wb") as file:
        shutil.copyfileobj(packed, file, 1024 * 1024)


def _gb(size: int) -> str:
    return f"{size / 1024**3:.1f} GB"
