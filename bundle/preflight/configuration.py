"""Configuration files and settings as MONAI would merge them, and how to walk through the result."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from fire.parser import DefaultParseValue
from monai.bundle import ConfigParser, ReferenceResolver
from monai.bundle.utils import merge_kv

from bundle.errors import InputError, bad_input

BUNDLE_ROOT = Path(__file__).parents[2]

MONAI_ARGUMENTS = frozenset(
    "config_file args_file meta_file logging_file "
    "run_id init_id final_id tracking workflow_type properties_path".split()
)
"""What ``python -m monai.bundle run`` takes besides keys of the configuration."""

_NULL = ("MONAI leaves a None on the command line out, and takes null for a text", "Write '$None', or leave it out.")
_TEXTS: dict[str | None, tuple[str, str]] = {
    None: _NULL,
    "null": _NULL,
    "true": ("MONAI takes true on the command line for a text", "Write True."),
    "false": ("MONAI takes false on the command line for a text, which counts as true", "Write False."),
}


@dataclass(frozen=True)
class Configuration:
    """Files and settings, apart and merged.

    Args:
        files: in the order in which they override each other.
        contents: of each file.
        settings: key to value, given beside the files; a key may be a path, ``region_rule#margin_mm``.
        merged: all files' content.
        run_id: what is to be run.
    """

    files: tuple[Path, ...]
    contents: tuple[dict[str, Any], ...]
    settings: dict[str, Any]
    merged: dict[str, Any]
    run_id: str = "run"

    def parser(self) -> ConfigParser:
        """Return a parser of files and settings; the settings' keys must be sound."""
        parser = self.plain_parser()
        for key, value in self.settings.items():
            parser[key] = value
        return parser

    def plain_parser(self) -> ConfigParser:
        """Return a parser of the files alone."""
        return ConfigParser(json.loads(json.dumps(self.merged)))


def read_configuration(
    files: Sequence[str | os.PathLike[str]], settings: Mapping[str, Any] | None = None, run_id: str = "run"
) -> Configuration:
    """Read and merge configuration files.

    Raises:
        InputError: a file is missing or not a JSON or YAML object, or has a key whose parent doesn't exist.
    """
    contents = tuple(_read(Path(file)) for file in files)
    merged = _merged(files, contents)
    kept = {key: value for key, value in (settings or {}).items() if key not in MONAI_ARGUMENTS}
    return Configuration(tuple(Path(file) for file in files), contents, kept, merged, run_id)


def parse_settings(settings: Sequence[str]) -> dict[str, Any]:
    """Return ``key=value`` texts as a dictionary, the values read as MONAI's command line reads them.

    Raises:
        InputError: a text without ``=``, or one that means another thing than it seems to, see :func:`text_problems`.
    """
    pairs = {}
    for text in settings:
        key, equals, value = text.partition("=")
        if not equals or not key:
            raise bad_input(text, "a setting is key=value", "no '='", "Write batch_size=2, for example.")
        pairs[key.lstrip("-")] = DefaultParseValue(value)
    if problems := text_problems(pairs):
        raise InputError("\n       ".join(problems))
    return pairs


def text_problems(settings: Mapping[str, Any]) -> list[str]:
    """Return a sentence for each null, true or false of JSON, which the command line of MONAI takes for a text.

    That text counts as true. A ``None`` is left out there, so that the file's value stays.
    """
    return [
        str(bad_input(f"--{key}", _TEXTS[value][0], value, _TEXTS[value][1]))
        for key, value in settings.items()
        if value is None or isinstance(value, str) and value in _TEXTS
    ]


def walk(node: Any, key: str = "") -> Iterator[tuple[str, Any]]:
    """Yield ``node`` and everything below it, each with its key, the parts joined by ``#``."""
    yield key, node
    children: Any = ()
    if isinstance(node, dict):
        children = node.items()
    elif isinstance(node, list):
        children = enumerate(node)
    for name, child in children:
        yield from walk(child, f"{key}#{name}" if key else str(name))


def references(value: Any) -> set[str]:
    """Return the keys, the parts joined by ``#``, that a text refers to by ``@``; none for anything but a text."""
    if not isinstance(value, str):
        return set()
    return {found.replace(ReferenceResolver.sep, "#") for found in ReferenceResolver.match_refs_pattern(value)}


def reachable(parser: ConfigParser, roots: Sequence[str]) -> dict[str, Any]:
    """Return what is resolved when ``roots`` are: keys to content, for everything in them and referred to from them.

    Keys that don't exist are left out.
    """
    found: dict[str, Any] = {}
    waiting = [root for root in roots if root in parser]
    while waiting:
        for key, node in walk(parser[start := waiting.pop()], start):
            if key not in found:
                found[key] = node
                waiting += [other for other in references(node) if other not in found and other in parser]
    return found


def similar_names(name: str, known: Sequence[str], similarity: float = 0.5) -> list[str]:
    """Return the most similar of the ``known`` names, at least ``similarity`` (1 is the same), or nothing."""
    return get_close_matches(name, known, n=1, cutoff=similarity)


def nearest(name: str, known: Sequence[str]) -> str:
    """Return ``Did you mean 'x'?`` for the most similar of the ``known`` names, or a general remedy."""
    similar = similar_names(name, known)
    return f"Did you mean {similar[0]!r}?" if similar else "Correct or remove it."


def _merged(files: Sequence[str | os.PathLike[str]], contents: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Return the content of all files, the later ones over the earlier ones, as MONAI merges them."""
    parser = ConfigParser({})
    for file, content in zip(files, contents):
        for key, value in json.loads(json.dumps(content)).items():
            try:
                merge_kv(parser, key, value)
            except (KeyError, ValueError, IndexError, TypeError) as error:
                rule = "a key that is a path leads into a file before it"
                remedy = nearest(key.lstrip("+").split("#")[0], list(parser.get()))
                raise bad_input(Path(file).name, rule, repr(key), remedy) from error
    return dict(parser.get())


def _read(file: Path) -> dict[str, Any]:
    if not file.is_file():
        remedy = "Correct the path; from another folder than the bundle's root, give an absolute one."
        raise bad_input(file, "the configuration exists", "no such file", remedy)
    try:
        content = ConfigParser.load_config_file(file)
    except ValueError as error:
        raise bad_input(file, "a configuration is JSON", error, "Correct the file.") from error
    if not isinstance(content, dict):
        raise bad_input(file, "a configuration is an object", type(content).__name__, "Write {...}.")
    return content
