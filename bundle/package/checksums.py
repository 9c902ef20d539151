"""SHA-256 of every file of a package, inside it, and of the package itself, beside it; in the notation of sha256sum."""

from __future__ import annotations

import hashlib
import zipfile
from collections.abc import Iterable
from pathlib import Path, PurePosixPath
from typing import IO

from bundle.errors import bad_input

FILE_NAME = "SHA256SUMS"

_REMEDY = "Don't use it; get the package again from where it was published."
_CHUNK = 1 << 20


def sha256(stream: IO[bytes]) -> str:
    """Return the hexadecimal SHA-256 of what is left in ``stream``."""
    digest = hashlib.sha256()
    while chunk := stream.read(_CHUNK):
        digest.update(chunk)
    return digest.hexdigest()


def file_sha256(path: Path) -> str:
    """Return the hexadecimal SHA-256 of a file."""
    with path.open("rb") as stream:
        return sha256(stream)


def sums_text(sums: Iterable[tuple[str, str]]) -> str:
    """Return (name, SHA-256) pairs as lines that ``sha256sum --check`` reads."""
    return "".join(f"{digest}  {name}\n" for name, digest in sums)


def check_package(package: Path) -> str:
    """Return the name of the package's one folder if every file in it is what its checksums say.

    Those beside the package, ``<package>.sha256``, are compared too if they are there. Nothing is unpacked and no code
    of the package is run. Checksums tell damage and a careless change; who replaces them as well isn't found out, for
    which the sum that was published elsewhere is to be compared.

    Raises:
        InputError: not a package, or a file that is changed, missing or not listed.
    """
    beside = package.with_name(package.name + ".sha256")
    try:
        if beside.is_file() and beside.read_text().split()[:1] != [file_sha256(package)]:
            raise bad_input(package, f"its SHA-256 is that in {beside.name}", file_sha256(package), _REMEDY)
        with zipfile.ZipFile(package) as archive:
            return _check_archive(package, archive)
    except (OSError, zipfile.BadZipFile, UnicodeDecodeError) as error:
        raise bad_input(package, "a package is a complete zip file", error, _REMEDY) from error


def check_folder(root: Path) -> int:
    """Return how many files of an unpacked package there are, all of them what the checksums say.

    Files that aren't listed, such as results, are not looked at.

    Raises:
        InputError: no checksums, or a file that is changed or missing.
    """
    listing = root / FILE_NAME
    if not listing.is_file():
        raise bad_input(root, f"an unpacked package has {FILE_NAME}", "no such file", "Make one with `make package`.")
    listed = _parse(listing, listing.read_text(encoding="utf-8"))
    for name, digest in listed.items():
        path = root / name
        _compare(root, name, digest, file_sha256(path) if path.is_file() else None)
    return len(listed)


def _check_archive(package: Path, archive: zipfile.ZipFile) -> str:
    names = [info.filename for info in archive.infolist() if not info.is_dir()]
    tops = {PurePosixPath(name).parts[0] for name in names}
    if len(tops) != 1 or any(".." in PurePosixPath(name).parts or name.startswith("/") for name in names):
        raise bad_input(package, "a package has one folder, and everything in it", ", ".join(sorted(tops)), _REMEDY)
    top = tops.pop()
    if f"{top}/{FILE_NAME}" not in names:
        raise bad_input(package, f"a package has {FILE_NAME}", "none", "Make one with `make package`.")
    listed = _parse(package, archive.read(f"{top}/{FILE_NAME}").decode("utf-8"))
    found = {name.removeprefix(f"{top}/") for name in names} - {FILE_NAME}
    for name, digest in listed.items():
        _compare(package, name, digest, _member_sha256(archive, f"{top}/{name}") if name in found else None)
    if found - set(listed):
        extra = ", ".join(sorted(found - set(listed))[:5])
        raise bad_input(package, f"every file is listed in {FILE_NAME}", extra, _REMEDY)
    return top


def _member_sha256(archive: zipfile.ZipFile, name: str) -> str:
    with archive.open(name) as stream:
        return sha256(stream)


def _compare(source: Path, name: str, expected: str, found: str | None) -> None:
    if found != expected:
        received = "no such file" if found is None else f"{found[:12]}… instead of {expected[:12]}…: it was changed"
        raise bad_input(f"{source}: {name}", "every file is as it was packed (SHA-256)", received, _REMEDY)


def _parse(source: Path, text: str) -> dict[str, str]:
    pairs = [line.split("  ", 1) for line in text.splitlines() if line]
    if not pairs or any(len(pair) != 2 or len(pair[0]) != 64 or ".." in PurePosixPath(pair[1]).parts for pair in pairs):
        raise bad_input(source, f"{FILE_NAME} has lines 'sum  name'", "another line", _REMEDY)
    return {name: digest for digest, name in pairs}
