"""The networks as files that run without this code: TorchScript and ONNX, each compared with the original."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

import torch
from monai.bundle import ConfigParser
from torch import nn

from bundle.errors import bad_input
from bundle.files import replacing
from bundle.networks import load_weights

NETWORKS = {"model": "network_def", "model_localizer": "localizer_def"}
"""Names of the files of weights, and of the networks in ``configs/inference.json``."""

DIVISOR = 8
"""The exported networks take inputs whose sides are multiples of this, at least two of it (poolings)."""

TOLERANCE = 1e-3
"""Largest difference of a logit that counts as the same network: float32, other order of summation."""

_SIDES = ((48, 32, 16), (32, 64, 24))


@dataclass(frozen=True)
class Exported:
    """An exported network.

    Args:
        path: of the file.
        difference: largest difference of a logit from the original's, on inputs of two sizes.
    """

    path: Path
    difference: float


def export_networks(root: Path, output: Path, formats: Sequence[str] = ("ts", "onnx")) -> list[Exported]:
    """Write segmenter and localizer of the bundle at ``root`` into ``output`` as ``<weights' name>.<format>``.

    An exported network takes (1, C, X, Y, Z) float32, the intensity windows of the configuration scaled to [0, 1], and
    gives the logits (1, classes, X, Y, Z); the cascade around it is not in the file.

    Args:
        root: of the bundle.
        output: folder; made if missing.
        formats: ``ts`` (TorchScript), ``onnx``.

    Raises:
        InputError: unknown format, a package that ONNX needs is missing, weights that don't fit, or an exported network
            that differs from the original by more than ``TOLERANCE``; then its file isn't there.
    """
    for name in formats:
        if name not in _FORMATS:
            raise bad_input("format", f"a format is one of {', '.join(_FORMATS)}", name, "Choose one of them.")
    parser = ConfigParser()
    parser.read_config(str(root / "configs" / "inference.json"))
    exported = []
    for name, definition in NETWORKS.items():
        network = load_weights(parser.get_parsed_content(definition), str(root / "models" / f"{name}.pt")).eval()
        channels = parser.get(definition)["in_channels"]
        inputs = [torch.rand(1, channels, *sides, generator=torch.Generator().manual_seed(0)) for sides in _SIDES]
        for suffix in formats:
            exported.append(_export(network, inputs, output / f"{name}.{suffix}"))
    return exported


@torch.inference_mode()
def _export(network: nn.Module, inputs: Sequence[torch.Tensor], target: Path) -> Exported:
    write, run = _FORMATS[target.suffix[1:]]
    with replacing(target) as temporary:
        write(network, inputs[0], temporary)
        answers = run(temporary, inputs)
        difference = max(float((network(x) - answer).abs().max()) for x, answer in zip(inputs, answers))
        if not difference <= TOLERANCE:
            rule = f"an exported network answers as the original, within {TOLERANCE:g}"
            raise bad_input(target, rule, f"a difference of {difference:.3g}", "Report it with your versions.")
    return Exported(target, difference)


def _write_torchscript(network: nn.Module, example: torch.Tensor, path: Path) -> None:
    torch.jit.script(network).save(str(path))


def _run_torchscript(path: Path, inputs: Sequence[torch.Tensor]) -> list[torch.Tensor]:
    network = torch.jit.load(str(path))
    return [network(x) for x in inputs]


def _write_onnx(network: nn.Module, example: torch.Tensor, path: Path) -> None:
    _need("onnx", "onnxscript", "onnxruntime")
    sides = {axis + 2: DIVISOR * torch.export.Dim(f"side_{axis}", min=2, max=128) for axis in range(3)}
    torch.onnx.export(
        network,
        (example,),
        str(path),
        input_names=["image"],
        output_names=["pred"],
        dynamic_shapes=(sides,),
        external_data=False,
        verbose=False,
    )


def _run_onnx(path: Path, inputs: Sequence[torch.Tensor]) -> list[torch.Tensor]:
    session = import_module("onnxruntime").InferenceSession(str(path), providers=["CPUExecutionProvider"])
    return [torch.from_numpy(session.run(None, {"image": x.numpy()})[0]) for x in inputs]


def _need(*packages: str) -> None:
    missing = [name for name in packages if find_spec(name) is None]
    if missing:
        remedy = "Install it; requirements-dev.txt has the versions that were tried."
        raise bad_input("onnx", "ONNX export needs " + ", ".join(packages), f"no {', '.join(missing)}", remedy)


_Write = Callable[[nn.Module, torch.Tensor, Path], None]
_Run = Callable[[Path, Sequence[torch.Tensor]], list[torch.Tensor]]
_FORMATS: dict[str, tuple[_Write, _Run]] = {
    "ts": (_write_torchscript, _run_torchscript),
    "onnx": (_write_onnx, _run_onnx),
}
