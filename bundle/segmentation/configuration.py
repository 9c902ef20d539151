"""Which configuration a system has: configs/inference.json, and for all but the default one an overlay on it."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from monai.bundle import ConfigParser

from bundle.errors import bad_input

BUNDLE_ROOT = Path(__file__).parents[2]
CONFIG = BUNDLE_ROOT / "configs" / "inference.json"

DEFAULT_SYSTEM = "default"


def read_configuration(
    system: str = DEFAULT_SYSTEM, base: str | os.PathLike[str] | Sequence[str | os.PathLike[str]] | None = None
) -> ConfigParser:
    """Return the configuration of a system, nothing of it instantiated yet.

    Args:
        system: ``default``, or NAME of a ``configs/system_NAME.json``.
        base: configuration instead of configs/inference.json, one file or several, the later ones as overlays.

    Raises:
        InputError: no such system, or no such file.
    """
    base = base or CONFIG
    files = [Path(base)] if isinstance(base, (str, os.PathLike)) else [Path(file) for file in base]
    if system != DEFAULT_SYSTEM:
        files.append(_overlay(system))
    for file in files:
        if not file.is_file():
            raise bad_input(file, "the configuration exists", "no such file", "Run from a clone of the bundle.")
    parser = ConfigParser()
    parser.read_config([str(file) for file in files])
    return parser


def systems() -> list[str]:
    """Return the names that :func:`read_configuration` knows, the default first."""
    overlays = (BUNDLE_ROOT / "configs").glob("system_*.json")
    return [DEFAULT_SYSTEM, *sorted(path.stem.removeprefix("system_") for path in overlays)]


def weight_files(parser: ConfigParser) -> list[Path]:
    """Return the files of the weights that the configuration names, whether they exist or not."""
    keys = [str(key) for key in parser.get()]
    names = [key for key in keys if key == "checkpoint" or key.endswith("_checkpoint")]
    return [Path(path) for key in names if (path := parser.get_parsed_content(key))]


def check_weights(parser: ConfigParser) -> None:
    """Raise for the first file of weights that does not exist, before any network is made."""
    for path in weight_files(parser):
        if not path.is_file():
            system = parser.get("system", DEFAULT_SYSTEM)
            remedy = "Train them (docs/systems.md says how), correct the path, or take --system default."
            raise bad_input(path, f"the weights of system {system} are there", "no such file", remedy)


def _overlay(system: str) -> Path:
    if system not in systems():
        raise bad_input("system", f"a system is one of {', '.join(systems())}", repr(system), "Correct the name.")
    return BUNDLE_ROOT / "configs" / f"system_{system}.json"
