"""What belongs into a package."""

from __future__ import annotations

from pathlib import Path

from bundle.errors import bad_input

NAME = "pancreas_ct_cascade_segmentation"

FILES = ("LICENSE", "README.md", "CITATION.cff", "requirements.txt", "large_files.yml")
"""Single files of the root; those that are there."""

FOLDERS = ("bundle", "configs", "docs", "models")
"""Folders of the root, with all below them but caches and hidden files."""

NEEDED = ("LICENSE", "configs/metadata.json", "configs/inference.json", "models/model.pt")
"""What the model zoo asks for (Project-MONAI/model-zoo, ci/verify_bundle.py)."""

_CACHES = {"__pycache__"}
_LEFT_OVERS = {".pyc", ".pyo", ".tmp", ".log"}


def package_files(root: Path) -> list[str]:
    """Return the files of a package, relative to the bundle's ``root``, with ``/``, sorted.

    Raises:
        InputError: one that the model zoo asks for isn't there.
    """
    for name in NEEDED:
        if not (root / name).is_file():
            raise bad_input(root, f"a bundle has {name}", "no such file", "Give the root of a complete bundle.")
    found = [root / name for name in FILES if (root / name).is_file()]
    found += [path for folder in FOLDERS for path in (root / folder).rglob("*") if path.is_file()]
    relative = [path.relative_to(root) for path in found]
    return sorted(path.as_posix() for path in relative if _belongs(path))


def _belongs(path: Path) -> bool:
    hidden = any(part.startswith(".") for part in path.parts)
    return not hidden and not _CACHES & set(path.parts) and path.suffix not in _LEFT_OVERS
