"""What the model zoo's schema of metadata.json demands, told in our own words, so that it can be checked offline."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from bundle.errors import bad_input

_TEXTS = (
    "schema version monai_version pytorch_version numpy_version name task description authors copyright data_source "
    "data_type image_classes label_classes pred_classes intended_use"
).split()
_OBJECTS = ("changelog", "required_packages_version", "eval_metrics", "supported_apps")
_REQUIRED = (
    "schema version monai_version pytorch_version numpy_version required_packages_version task description authors "
    "copyright network_data_format"
).split()
_OF_THE_ZOO = (
    "name changelog intended_use references data_source data_type image_classes label_classes pred_classes eval_metrics"
).split()
_TENSOR = {
    "type": str,
    "format": str,
    "num_channels": int,
    "spatial_shape": list,
    "dtype": str,
    "value_range": list,
}
_TENSOR_MORE = {"is_patch_data": bool, "channel_def": dict}


def metadata_problems(metadata: Mapping[str, Any]) -> list[str]:
    """Return what is wrong with the content of metadata.json, one sentence each; empty if nothing is.

    Demanded are the fields and types of schema 20240725 (MONAI bundle specification, "metadata.json File"), the fields
    that all bundles of the model zoo carry beside them, and a version that its way of comparing texts puts in order.
    """
    return list(_problems(metadata))


def _problems(metadata: Mapping[str, Any]) -> Iterator[str]:
    for key in (*_REQUIRED, *_OF_THE_ZOO):
        if key not in metadata:
            yield _say(key, "metadata.json has it", "none", "Add it.")
    for key in _TEXTS:
        yield from _typed(metadata, key, str)
    for key in _OBJECTS:
        yield from _typed(metadata, key, dict)
    yield from _typed(metadata, "references", list)
    if not all(isinstance(text, str) for text in metadata.get("references", ())):
        yield _say("references", "each is a text", "another", "Write authors, title, place and year.")
    version = str(metadata.get("version"))
    if version not in metadata.get("changelog", {}):
        yield _say("changelog", f"it tells what is new in version {version}", "nothing", "Add a line.")
    if not re.fullmatch(r"\d\.\d\.\d", version):
        yield _say("version", "three numbers below 10, since the zoo compares texts", version, "Take the next one.")
    for key in metadata:
        if re.fullmatch(r"\w+_data_format", key):
            yield from _format_problems(key, metadata[key])


def _format_problems(key: str, network: Any) -> Iterator[str]:
    for side, main in (("inputs", "image"), ("outputs", "pred")):
        tensors = network.get(side) if isinstance(network, dict) else None
        if not isinstance(tensors, dict) or main not in tensors:
            yield _say(f"{key}#{side}", f"it describes {main}", "nothing", "Describe the tensor.")
            continue
        for name, tensor in tensors.items():
            for field, kind in {**_TENSOR, **_TENSOR_MORE}.items():
                if field in _TENSOR and field not in tensor:
                    yield _say(f"{key}#{side}#{name}", f"it has {field}", "none", "Add it.")
                yield from _typed(tensor, field, kind, f"{key}#{side}#{name}#")
            if len(tensor.get("channel_def", {})) not in (0, tensor.get("num_channels")):
                received = f"{len(tensor['channel_def'])} of {tensor.get('num_channels')}"
                yield _say(f"{key}#{side}#{name}#channel_def", "every channel is told", received, "Correct it.")


def _typed(mapping: Mapping[str, Any], key: str, kind: type, path: str = "") -> Iterator[str]:
    value = mapping.get(key)
    if value is not None and (not isinstance(value, kind) or (kind is int and isinstance(value, bool))):
        yield _say(f"{path}{key}", f"its type is {kind.__name__}", type(value).__name__, "Correct it.")


def _say(key: str, rule: str, received: str, remedy: str) -> str:
    return str(bad_input(key, rule, received, remedy))
