"""The bundle as a zip file: the same bytes for the same files, whenever and wherever it is made."""

from __future__ import annotations

import json
import os
import zipfile
from pathlib import Path

from bundle.errors import bad_input
from bundle.files import replacing, write_text
from bundle.package.checksums import FILE_NAME, file_sha256, sums_text
from bundle.package.contents import NAME, package_files

_DATE = (1980, 1, 1, 0, 0, 0)
_MODE = 0o644


def build_package(root: str | os.PathLike[str], output: str | os.PathLike[str]) -> Path:
    """Write ``pancreas_ct_cascade_segmentation_v<version>.zip`` and its ``.sha256`` to ``output``; return the former.

    One folder of the bundle's name, as ``monai.bundle.download`` and ``load`` expect, with the checksums of its files
    in ``SHA256SUMS``. Files are sorted, dated alike and stored as they are: weights hardly compress, and another zlib
    would give other bytes.

    Raises:
        InputError: a file is missing that a bundle must have, or the version is not in the changelog.
    """
    root, output = Path(root), Path(output)
    names = package_files(root)
    target = output / f"{NAME}_v{_version(root)}.zip"
    sums = sums_text((name, file_sha256(root / name)) for name in names)
    with replacing(target) as temporary, zipfile.ZipFile(temporary, "w", zipfile.ZIP_STORED) as archive:
        for name in names:
            _add(archive, name, (root / name).read_bytes())
        _add(archive, FILE_NAME, sums.encode("utf-8"))
    write_text(sums_text([(target.name, file_sha256(target))]), target.with_name(target.name + ".sha256"))
    return target


def _add(archive: zipfile.ZipFile, name: str, content: bytes) -> None:
    info = zipfile.ZipInfo(f"{NAME}/{name}", _DATE)
    info.create_system = 3  # Unix, on every system
    info.external_attr = _MODE << 16
    archive.writestr(info, content)


def _version(root: Path) -> str:
    source = root / "configs" / "metadata.json"
    metadata = json.loads(source.read_text(encoding="utf-8"))
    version = str(metadata.get("version"))
    if version not in metadata.get("changelog", {}):
        raise bad_input(source, "the version is in the changelog", version, "Say there what is new in it.")
    return version
