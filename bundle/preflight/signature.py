"""What a ``_target_`` of a configuration is, and which arguments it takes."""

from __future__ import annotations

import inspect
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from pydoc import locate
from typing import Any

from monai.bundle import ComponentLocator

from bundle.preflight.configuration import nearest

_PLACES = ("transforms", "networks.nets", "losses", "inferers", "handlers", "engines", "data")
_SPECIAL = {"_target_", "_mode_", "_disabled_", "_requires_", "_desc_"}


@dataclass(frozen=True)
class Arguments:
    """What a class or function takes.

    Args:
        names: of its arguments, inherited ones included.
        required: those without a default.
        open: it takes others too, which only a call can tell.
    """

    names: frozenset[str]
    required: frozenset[str]
    open: bool


@cache
def find_target(name: str) -> Any:
    """Return the class or function of that name, a dotted path or a name in MONAI; None if there is none."""
    module = _locator().get_component_module_name(name)
    if isinstance(module, list):
        module = module[0]
    return locate(name if module is None else f"{module}.{name}")


def similar_target(name: str) -> str:
    """Return a remedy that names the target most like ``name``."""
    path, _, last = name.rpartition(".")
    module = locate(path) if path else None
    if module is not None:
        known = [f"{path}.{other}" for other in dir(module) if not other.startswith("_")]
        return nearest(f"{path}.{last}", known)
    places = [import_module(f"monai.{part}") for part in _PLACES]
    return nearest(name, [other for place in places for other in dir(place) if not other.startswith("_")])


@cache
def arguments(target: Any) -> Arguments:
    """Return what ``target`` takes; open if it cannot be told.

    A class of this bundle hands ``**others`` to the class it derives from, so that those are known too.
    """
    steps = [target]
    if inspect.isclass(target):
        steps = [vars(base)["__init__"] for base in target.__mro__ if "__init__" in vars(base) and base is not object]
    names: set[str] = set()
    required: set[str] = set()
    for number, step in enumerate(steps):
        try:
            parameters = list(inspect.signature(step).parameters.values())
        except (TypeError, ValueError):
            return Arguments(frozenset(names), frozenset(required), True)
        parameters = parameters[1:] if inspect.isclass(target) else parameters
        kinds = {parameter.kind for parameter in parameters}
        named = [p for p in parameters if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)]
        names |= {parameter.name for parameter in named}
        if number == 0:
            required |= {parameter.name for parameter in named if parameter.default is parameter.empty}
        if inspect.Parameter.VAR_KEYWORD not in kinds:
            return Arguments(frozenset(names), frozenset(required), False)
        if not getattr(step, "__module__", "").startswith("bundle."):
            break
    return Arguments(frozenset(names), frozenset(required), bool(steps))


def given(component: dict[str, Any]) -> list[str]:
    """Return the names of the arguments that a component of a configuration gives."""
    return [name for name in component if name not in _SPECIAL]


def is_component(node: Any) -> bool:
    """Whether a node of a configuration names its target by a text that can be looked up."""
    target = node.get("_target_") if isinstance(node, dict) else None
    return isinstance(target, str) and target[:1] not in ("$", "@", "%")


@cache
def _locator() -> ComponentLocator:
    return ComponentLocator()
