"""Keys that nothing knows: of settings, of overlays, of a component's arguments, of references."""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import cache
from typing import Any

from monai.bundle import ConfigParser

from bundle.errors import bad_input
from bundle.preflight.configuration import (
    BUNDLE_ROOT,
    Configuration,
    nearest,
    reachable,
    references,
    similar_names,
    walk,
)
from bundle.preflight.signature import arguments, find_target, given, is_component, similar_target

_TYPO = 0.85

_OF_MONAI = ("imports", "initialize", "run", "finalize", "_meta_")


def key_problems(configuration: Configuration) -> list[str]:
    """Return every key of files and settings that would have no effect or fail, one sentence each; empty if sound.

    Nothing is loaded and nothing is computed. Keys of an overlay that this run doesn't need are known by the bundle's
    own configurations, so that one overlay serves training and inference.
    """
    problems = [*_unknown_in_files(configuration), *_unknown_settings(configuration), *_stage_problems(configuration)]
    if problems:
        return problems
    parser = configuration.parser()
    problems += _macros_into_nothing(parser)
    if problems:
        return problems
    parser.resolve_macro_and_relative_ids()
    problems += _component_problems(parser)
    problems += _references_into_nothing(parser, configuration.run_id)
    return list(dict.fromkeys(problems))


def roots(run_id: str) -> tuple[str, ...]:
    """Return the keys that MONAI evaluates when it runs ``run_id``."""
    return ("initialize", run_id, "finalize")


def _stage_problems(configuration: Configuration) -> Iterator[str]:
    content = configuration.merged
    if content.get("stage") == "localizer" and content.get("localizer", "") is None:
        rule = "a system whose localizer is trained has one"
        remedy = "Leave train_localizer.json out: train.json trains the one stage."
        yield str(bad_input("train_localizer.json", rule, f"{content.get('system')}, which has none", remedy))


def _unknown_in_files(configuration: Configuration) -> Iterator[str]:
    shipped = _shipped_keys()
    used = {key for _, node in walk(configuration.merged) for key in references(node) | _macro(node)}
    used |= {key for value in configuration.settings.values() for key in references(value) | _macro(value)}
    starts = {"#".join(key.split("#")[:depth]) for key in used for depth in (1, 2)}
    for file, content in zip(configuration.files, configuration.contents):
        for key in content:
            for name in _groups(key.lstrip("+").replace("::", "#"), content[key]):
                if name not in shipped and name not in starts and name not in (*_OF_MONAI, configuration.run_id):
                    known = [other for other in {*shipped, *configuration.merged} if other != name]
                    rule = "a key is one that the bundle's configurations have, or that another refers to"
                    yield str(bad_input(file.name, rule, repr(name), nearest(name, known)))


def _groups(key: str, value: Any) -> list[str]:
    """Return the names to look up for a key: itself, and the members of a group such as ``train``."""
    parts = key.split("#")
    group = parts[0] in ("train", "validate")
    if group and len(parts) > 1:
        return ["#".join(parts[:2])]
    return [parts[0], *(f"{parts[0]}#{name}" for name in value)] if group and isinstance(value, dict) else [parts[0]]


def _unknown_settings(configuration: Configuration) -> Iterator[str]:
    parser = configuration.plain_parser()
    for key, value in configuration.settings.items():
        problem = _unknown_setting(parser.get(), key.replace("::", "#"))
        if problem:
            yield problem
        else:
            parser[key] = value


def _unknown_setting(merged: Any, key: str) -> str | None:
    node: Any = merged
    parts = key.split("#")
    for depth, part in enumerate(parts):
        parent = "#".join(parts[:depth])
        if isinstance(node, str) and node[:1] in ("@", "%"):
            rule = f"a setting of a part names where the part is; {parent!r} is only {node!r}"
            remedy = f"Set {'#'.join([node[1:].replace('::', '#'), *parts[depth:]])!r} instead."
            return str(bad_input(key, rule, repr(key), remedy))
        if isinstance(node, list):
            if not part.isdigit() or int(part) >= len(node):
                rule = f"the list {parent!r} has items 0 to {len(node) - 1}"
                return str(bad_input(key, rule, repr(part), "Take one of these numbers."))
            node = node[int(part)]
        elif not isinstance(node, dict):
            return str(bad_input(key, f"{parent!r} has parts", repr(node), f"Replace {parent!r} as a whole."))
        elif part in node:
            node = node[part]
        elif depth == len(parts) - 1 and is_component(node):
            return None  # an argument that isn't set yet: checked with the component's others
        else:
            return _unknown_part(key, part, parent, node)
    return None


def _unknown_part(key: str, part: str, parent: str, node: dict[str, Any]) -> str:
    where = f"{parent!r} has this part" if parent else "a setting is a key of the configuration files"
    others = _shipped_keys().get(key)
    remedy = nearest(part, [str(name) for name in node])
    if others and not parent:
        remedy = f"It belongs to {', '.join(sorted(others))}; give that file, or remove the setting."
    return str(bad_input(key, where, repr(part), remedy))


def _component_problems(parser: ConfigParser) -> Iterator[str]:
    for key, node in walk(parser.get()):
        if not is_component(node):
            continue
        target = find_target(node["_target_"])
        if target is None:
            remedy = similar_target(node["_target_"])
            yield str(bad_input(f"{key}#_target_", "the class or function exists", repr(node["_target_"]), remedy))
            continue
        takes = arguments(target)
        for name in given(node):
            # What takes any argument is believed, unless the name is all but one that it is known to take.
            if name not in takes.names and (not takes.open or similar_names(name, sorted(takes.names), _TYPO)):
                rule = f"{node['_target_']} has this argument"
                yield str(bad_input(f"{key}#{name}", rule, repr(name), nearest(name, sorted(takes.names))))
        missing = sorted(takes.required - set(given(node)))
        if missing and node.get("_mode_", "default") == "default" and not node.get("_disabled_"):
            rule = f"{node['_target_']} gets every argument that has no default"
            yield str(bad_input(key, rule, f"none for {', '.join(missing)}", "Add it."))


def _references_into_nothing(parser: ConfigParser, run_id: str) -> Iterator[str]:
    if run_id not in parser:
        ids = [key for key, value in parser.get().items() if isinstance(value, list) and key != "imports"]
        yield str(bad_input(run_id, "what is run is a key of the configuration", "none", nearest(run_id, ids)))
    for key, node in reachable(parser, roots(run_id)).items():
        for other in sorted(references(node)):
            if other not in parser:
                yield str(bad_input(key, "a reference leads somewhere", f"'@{other}'", _nearest_key(other, parser)))


def _macros_into_nothing(parser: ConfigParser) -> Iterator[str]:
    for key, node in walk(parser.get()):
        for other in _macro(node):
            if other not in parser:
                yield str(bad_input(key, "a macro leads somewhere", f"'%{other}'", _nearest_key(other, parser)))


def _nearest_key(name: str, parser: ConfigParser) -> str:
    parent, _, last = name.rpartition("#")
    if parent and isinstance(parser.get(parent), dict):
        return nearest(last, [str(key) for key in parser[parent]])
    return nearest(name, list(parser.get()))


def _macro(node: Any) -> set[str]:
    """Return the key that a text such as ``%network_def`` copies; none for one from another file or relative."""
    if not isinstance(node, str) or not node.startswith("%"):
        return set()
    path, key = ConfigParser.split_path_id(node[1:])
    return set() if path or key.startswith("::") else {key.replace("::", "#")}


@cache
def _shipped_keys() -> dict[str, tuple[str, ...]]:
    """Return the keys of the bundle's own configurations, members of groups included, and the files that have them."""
    found: dict[str, tuple[str, ...]] = {}
    for file in sorted((BUNDLE_ROOT / "configs").glob("*.json")):
        if file.name in ("metadata.json", "compare.json"):
            continue
        for key, value in json.loads(file.read_text(encoding="utf-8")).items():
            for name in _groups(key, value):
                found[name] = (*found.get(name, ()), file.name)
    return found
