"""What a configuration will do, in the order in which the data flows."""

from __future__ import annotations

import json
import textwrap
from collections.abc import Mapping, Sequence
from typing import Any

from monai.bundle import ConfigParser

from bundle.preflight.configuration import Configuration, reachable, references, walk
from bundle.preflight.keys import roots
from bundle.preflight.signature import given, is_component

WIDTH = 120

INFERENCE = {
    "read": ("dataset_dir", "section"),
    "preprocess": ("preprocessing",),
    "localize": ("localize_stages", "localizer_def", "localizer_checkpoint"),
    "region": ("region_rule", "growth", "fallback"),
    "segment": ("segment", "network_def", "checkpoint"),
    "fuse": ("fusion", "min_agreement_ml"),
    "clean up": ("postprocessing",),
    "write": ("saving", "handlers", "output_dir"),
}
"""Steps of inference and scoring, and the keys that say what each does."""

TRAINING = {
    "read": ("dataset_dir",),
    "preprocess": ("load_transforms", "seen"),
    "region": ("region", "validation_region"),
    "patch": ("patch", "augmentation"),
    "network": ("trained_def", "checkpoint", "skip"),
    "learn": ("loss", "optimizer", "learning_rate", "max_epochs", "max_minutes", "batch_size"),
    "validate": ("val_interval", "patience", "score_transforms"),
    "write": ("ckpt_dir", "best_filename", "output_dir"),
}
"""Steps of training, and the keys that say what each does."""

_UNSAID = frozenset(
    "keys allow_missing_keys device amp output_dir weights transform orig_keys "
    "image_key label_key classes labels".split()
)
"""Arguments that say nothing of what is done to the data, or that another step says."""


def plan_lines(configuration: Configuration, cases: Mapping[str, int] | None = None) -> list[str]:
    """Return the plan, one or more lines of at most 120 characters for each step.

    Args:
        configuration: one without :func:`~bundle.preflight.keys.key_problems`.
        cases: scans by the key of the component that lists them.
    """
    parser = configuration.parser()
    parser.resolve_macro_and_relative_ids()
    training = "train" in parser
    what = "train the " + str(parser.get("stage")) if training else "score" if "section" in parser else "segment"
    names = " + ".join(file.name for file in configuration.files)
    lines = [f"{what}, system {parser.get('system', 'of its own')}: {names}"]
    needed = reachable(parser, roots(configuration.run_id))
    for step, keys in (TRAINING if training else INFERENCE).items():
        said = [text for key in keys if key in needed and (text := _line(parser, key))]
        if step == "read" and cases:
            said.append(_counts(cases))
        lines += _wrapped(step, said or ["nothing"])
    return lines


def describe(parser: ConfigParser, value: Any) -> str:
    """Return a value of a configuration in words: references followed, a component as ``Name(argument value, ...)``."""
    if isinstance(value, str) and value.startswith("@"):
        target = next(iter(references(value)), value[1:])
        return describe(parser, parser[target]) if target in parser else value
    if isinstance(value, str) and value.startswith("$"):
        return _evaluated(parser, value)
    if is_component(value):
        name = value["_target_"].rpartition(".")[2]
        if name == "Compose":
            return describe(parser, value.get("transforms", []))
        told = [f"{key} {describe(parser, value[key])}" for key in given(value) if key not in _UNSAID]
        return f"{name}({', '.join(told)})" if told else name
    if isinstance(value, list) and any(_is_rich(parser, item) for item in value):
        return " → ".join(describe(parser, item) for item in value)
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key} {describe(parser, item)}" for key, item in value.items()) + "}"
    return value if isinstance(value, str) else json.dumps(value, default=str)


def _line(parser: ConfigParser, key: str) -> str:
    value = parser.get(key)
    text = describe(parser, value)
    if text in ("null", "[]", "{}"):
        return ""
    bare = is_component(value) or isinstance(value, list) or (isinstance(value, str) and "(" in text and text[0] != "/")
    return text if bare and text[:1] not in "[/" else f"{key} {text}"


def _is_rich(parser: ConfigParser, item: Any) -> bool:
    if isinstance(item, str) and item.startswith("@"):
        return any(key in parser and _is_rich(parser, parser[key]) for key in references(item))
    return is_component(item)


def _evaluated(parser: ConfigParser, expression: str) -> str:
    """Return the value of an expression that depends on plain values alone, else the expression itself."""
    waiting, seen = list(references(expression)), set()
    while waiting:
        key = waiting.pop()
        if key in seen:
            continue
        seen.add(key)
        nodes = [node for _, node in walk(parser[key])] if key in parser else [{"_target_": ""}]
        if any(isinstance(node, dict) and "_target_" in node for node in nodes):
            return expression[1:].replace("@", "")
        waiting += [other for node in nodes for other in references(node)]
    alone = ConfigParser({**parser.get(), "value_to_describe": expression})
    try:
        return str(alone.get_parsed_content("value_to_describe"))
    except Exception:  # an expression with side conditions, such as a variable of the environment
        return expression[1:].replace("@", "")


def _counts(cases: Mapping[str, int]) -> str:
    parts = [f"{count} {key.split('#')[0]}" if "checked" in key else str(count) for key, count in sorted(cases.items())]
    return "scans: " + ", ".join(parts)


def _wrapped(step: str, said: Sequence[str]) -> list[str]:
    lines: list[str] = []
    for text in said:
        start = f"{'' if lines else step:<12}"
        lines += textwrap.wrap(
            text,
            WIDTH,
            initial_indent=start,
            subsequent_indent=" " * 14,
            break_long_words=False,
            break_on_hyphens=False,
        )
    return lines
