"""The keys on the command line of ``python -m monai.bundle run``, checked before anything loads."""

from __future__ import annotations

import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from fire.parser import DefaultParseValue
from monai.bundle import ConfigParser

from bundle.errors import InputError
from bundle.preflight.configuration import read_configuration, text_problems
from bundle.preflight.keys import key_problems

_FLAG = re.compile(r"--|-[A-Za-z]")


def check_command_line() -> None:
    """Refuse misspelled keys if this process is ``python -m monai.bundle run``; do nothing in any other.

    For ``initialize`` of the configurations: MONAI itself takes any top-level key, and a mistyped one has no effect.

    Raises:
        InputError: every key that would have no effect or fail.
    """
    run = monai_run(sys.argv)
    if run is None:
        return
    problems = text_problems(_arguments(sys.argv)) or key_problems(read_configuration(*run))
    if problems:
        raise InputError("\n       ".join(problems))


def monai_run(argv: Sequence[str]) -> tuple[list[str], dict[str, Any], str] | None:
    """Return (configuration files, settings, run id) of such a command line; None for any other."""
    if Path(argv[0]).parts[-3:] != ("monai", "bundle", "__main__.py") or argv[1:2] != ["run"]:
        return None
    words = list(argv[2:])
    run_id = words.pop(0) if words and not _FLAG.match(words[0]) else "run"
    arguments = _arguments(words)
    if "args_file" in arguments:
        arguments = ConfigParser.load_config_file(arguments["args_file"]) | arguments
    files = arguments.get("config_file")
    if not files:
        return None
    return [files] if isinstance(files, str) else list(files), arguments, str(arguments.get("run_id", run_id))


def _arguments(words: Sequence[str]) -> dict[str, Any]:
    """Return the settings among the words, with the values that Fire, which reads MONAI's command line, gives them."""
    words, arguments = list(words), {}
    while words:
        word = words.pop(0)
        if not _FLAG.match(word):
            continue
        key, equals, value = word.lstrip("-").partition("=")
        if not equals:
            value = words.pop(0) if words and not _FLAG.match(words[0]) else "True"
        arguments[key.replace("-", "_")] = DefaultParseValue(value)
    return arguments
