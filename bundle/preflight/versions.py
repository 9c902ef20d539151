"""Whether the packages that are installed are those the bundle was tested with."""

from __future__ import annotations

import re
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from bundle.errors import bad_input
from bundle.preflight.configuration import BUNDLE_ROOT

OLDEST = {"numpy": "1.26", "pydicom": "2.4"}
"""Inference is tested with these too: MONAI Label needs them."""


def version_findings(requirements: Path = BUNDLE_ROOT / "requirements.txt") -> tuple[list[str], list[str]]:
    """Return (problems, notes): packages that are missing, and packages of a version that was not tested.

    Tested is the version in ``requirements``, whatever its last part, and what lies between it and ``OLDEST``.

    Args:
        requirements: lines ``name==version``.
    """
    problems, notes = [], []
    for name, tested in _pins(requirements):
        try:
            installed = version(name)
        except PackageNotFoundError:
            remedy = f"Install it: pip install {name}=={tested}"
            problems.append(str(bad_input(name, f"version {tested} is installed", "none", remedy)))
            continue
        oldest = OLDEST.get(name, tested)
        if not _minor(oldest) <= _minor(installed) <= _minor(tested):
            span = tested if oldest == tested else f"{oldest} to {tested}"
            remedy = f"It may work; if not: pip install {name}=={tested}"
            notes.append(str(bad_input(name, f"tested with {span}", installed, remedy)))
    return problems, notes


def _pins(requirements: Path) -> list[tuple[str, str]]:
    lines = requirements.read_text(encoding="utf-8").splitlines()
    return [(name, pin) for line in lines for name, equals, pin in [line.strip().partition("==")] if equals]


def _minor(text: str) -> tuple[int, ...]:
    """Return the first two numbers of a version."""
    return tuple(int(number) for number in re.findall(r"\d+", text)[:2])
