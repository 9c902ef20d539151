"""What a configuration needs beside itself: weights that fit, data that is there, a device, a place to write."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from monai.bundle import ConfigParser

from bundle.errors import bad_input, input_error
from bundle.networks import load_weights, prepare
from bundle.preflight.configuration import Configuration, reachable
from bundle.preflight.keys import roots
from bundle.preflight.signature import find_target, is_component
from bundle.read import find_scans, label_classes, load_datalist

BUILT = (
    "preprocessing inferer postprocessing saving "
    "load_transforms region validation_region resampling patch augmentation loss"
).split()
"""Keys whose content is built on trial: it is light, and only building shows whether all arguments are right."""


@dataclass
class Resources:
    """What was found.

    Args:
        problems: one sentence each.
        cases: scans by the key of the component that lists them.
    """

    problems: list[str] = field(default_factory=list)
    cases: dict[str, int] = field(default_factory=dict)


def resource_problems(configuration: Configuration) -> Resources:
    """Return what is missing or doesn't fit, of all that the run will need; no scan is opened.

    Networks are built on the CPU, and weights are compared with them key by key, shape by shape.

    Args:
        configuration: one without :func:`~bundle.preflight.keys.key_problems`.
    """
    parser = configuration.parser()
    parser.resolve_macro_and_relative_ids()
    needed = reachable(parser, roots(configuration.run_id))
    found = Resources()
    for key, node in needed.items():
        if not is_component(node):
            continue
        target = find_target(node["_target_"])
        if target in (prepare, load_weights):
            _collect(found.problems, key, _check_weights, parser, key)
        elif target in (find_scans, load_datalist):
            listed = _collect(found.problems, key, parser.get_parsed_content, key)
            found.cases[key] = len(listed or ())
        elif target is label_classes:
            _collect(found.problems, key, parser.get_parsed_content, key)
    for key in BUILT:
        if key in needed:
            _collect(found.problems, key, parser.get_parsed_content, key)
    if "device" in needed:
        _collect(found.problems, "device", _check_device, parser)
    for key in ("output_dir", "ckpt_dir"):
        if key in needed and (key == "output_dir" or "train" in needed):
            found.problems += _not_writable(key, parser.get_parsed_content(key))
    found.problems = list(dict.fromkeys(found.problems))
    return found


def _check_weights(parser: ConfigParser, key: str) -> None:
    path = parser.get_parsed_content(f"{key}#path")
    if path is None:
        return
    skip = parser.get_parsed_content(f"{key}#skip") if f"{key}#skip" in parser else ()
    load_weights(parser.get_parsed_content(f"{key}#network"), path, skip, parser.get_parsed_content("system"))


def _check_device(parser: ConfigParser) -> None:
    from bundle.segmentation import choose_device

    choose_device(str(parser.get_parsed_content("device")))


def _not_writable(key: str, value: Any) -> Iterator[str]:
    folder = Path(str(value)).absolute()
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    if not folder.is_dir() or not os.access(folder, os.W_OK):
        rule = f"a folder that can be made and written to, {key}={value}"
        received = "it is read-only" if folder.is_dir() else f"{folder} is a file"
        yield str(bad_input(key, rule, received, f"Set {key} to another folder."))


def _collect(problems: list[str], key: str, call: Callable[..., Any], *values: Any) -> Any:
    """Return what ``call`` gives; if it fails, append why to ``problems`` and return None."""
    try:
        return call(*values)
    except Exception as error:  # whatever building a component raises is a finding, not an end of the check
        bad = input_error(error)
        cause: BaseException = error
        while cause.__cause__ is not None:
            cause = cause.__cause__
        text = " ".join(str(cause).split())[:300]
        received = f"{type(cause).__name__}: {text}"
        problems.append(str(bad or bad_input(key, "it can be built", received, "Correct its arguments.")))
        return None
