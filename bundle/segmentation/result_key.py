"""The key of a result: where scan, weights, settings and version are the same, so is the result, and it may stay."""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import bundle
from bundle.write import report
from bundle.write.case import RESULT_FILES

# Where things are and on which device they run; weights count by what they hold, not by where they are.
_NOT_SETTINGS = {"bundle_root", "dataset_dir", "output_dir", "ckpt_dir", "device", "num_workers"}


def result_key(files: Sequence[Path], weights: Sequence[Path], settings: Mapping[str, Any]) -> str:
    """Return 32 hexadecimal digits, BLAKE2b of the contents of all files, the settings and the bundle's version.

    Args:
        files: that hold the scan, in a fixed order; their names don't count.
        weights: files of the weights; those that don't exist don't count.
        settings: configuration before anything of it is instantiated, and all else that changes results.
    """
    chosen = {key: value for key, value in settings.items() if key not in _NOT_SETTINGS and "checkpoint" not in key}
    parts = {
        "input": [_content(path) for path in files],
        "weights": [_content(path) for path in weights if path.is_file()],
        "settings": chosen,
        "version": bundle.__version__,
    }
    text = json.dumps(parts, sort_keys=True, default=str)
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()


def finished_report(folder: Path, key: str) -> dict[str, Any] | None:
    """Return the report in a case's folder if it has this key and all files that it lists are there, else None."""
    try:
        found = json.loads((folder / report.FILE_NAME).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    if not isinstance(found, dict) or found.get("key") != key:
        return None
    return found if all((folder / name).is_file() for name in found.get("files", [])) else None


def result_files(folder: Path) -> list[Path]:
    """Return the results in a case's folder, which may hold other things: it may be the folder of the scan itself."""
    return [folder / name for name in RESULT_FILES if (folder / name).is_file()]


def remove_results(folder: Path) -> None:
    """Remove a case's results, the report first: without it, whatever is left doesn't count as finished."""
    for path in sorted(result_files(folder), key=_not_the_report):
        path.unlink(missing_ok=True)
    remove_unfinished(folder)


def remove_unfinished(folder: Path, names: Sequence[str] = RESULT_FILES) -> None:
    """Remove the temporary files that a killed run left in place of files of these names."""
    if not folder.is_dir():
        return
    temporary = re.compile(r"\.\d+\.(?:" + "|".join(re.escape(name) for name in names) + ")")
    for entry in os.scandir(folder):
        if temporary.fullmatch(entry.name) and entry.is_file(follow_symlinks=False):
            Path(entry.path).unlink(missing_ok=True)


def _not_the_report(path: Path) -> bool:
    return path.name != report.FILE_NAME


def _content(path: Path) -> str:
    status = path.stat()
    return _hash(str(path), status.st_size, status.st_mtime_ns)


@cache
def _hash(path: str, size: int, modified_ns: int) -> str:
    """Return the hash of a file's content; a run asks for the same ones, with the same size and time, repeatedly."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "blake2b").hexdigest()
