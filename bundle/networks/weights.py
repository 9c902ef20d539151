"""Weights into networks: strictly, tensors only."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

import torch
from torch import nn

from bundle.errors import bad_input
from bundle.files import replacing
from bundle.networks.instance_norm import keep_channels_last


def prepare(
    network: nn.Module,
    path: str | None,
    device: torch.device | str,
    skip: Sequence[str] = (),
    system: str | None = None,
) -> nn.Module:
    """Return ``network`` with the weights at ``path``, on ``device``, in the memory layout that convolves fastest.

    ``skip`` and ``system`` are those of :func:`load_weights`.
    """
    network = load_weights(network, path, skip, system).to(device)
    if any(weight.ndim == 4 for weight in network.parameters()):  # convolutions in two dimensions have another layout
        return network
    keep_channels_last(network)
    return network.to(memory_format=torch.channels_last_3d)  # type: ignore[call-overload]


def load_weights(
    network: nn.Module, path: str | None, skip: Sequence[str] = (), system: str | None = None
) -> nn.Module:
    """Load a raw ``state_dict`` into ``network``, every key and shape matching, and return the network.

    Half-precision weights are widened to the network's own type. Without a ``path`` the network stays as it is.

    Args:
        network: changed in place.
        path: file of the weights.
        skip: parts of the network that keep the weights they have, by the beginning of their keys: ``score`` to go on
            with other classes (Roth 2018, sec. 4.1, fine-tuning).
        system: whose network it is, to name it where the weights don't fit.

    Raises:
        InputError: no such file, not a state_dict of tensors, the first key that doesn't fit, or a part to skip that
            the network doesn't have.
    """
    if path is None:
        return network
    own = network.state_dict()
    for prefix in skip:
        if not _skipped(own, [prefix]):
            parts = ", ".join(dict.fromkeys(key.split(".")[0] for key in own))
            raise bad_input("skip", f"a part of the network is one of {parts}", repr(prefix), "Correct the name.")
    weights = _read_tensors(path, system)
    weights = {key: value for key, value in weights.items() if key not in _skipped(weights, skip)}
    expected = {key: tuple(value.shape) for key, value in own.items() if key not in _skipped(own, skip)}
    found = {key: tuple(value.shape) for key, value in weights.items() if isinstance(value, torch.Tensor)}
    for key in sorted(expected.keys() | found.keys()):
        if expected.get(key) != found.get(key):
            held = f"{key} of shape {found[key]}" if key in found else f"no {key}"
            received = f"{held}, where {expected.get(key, 'nothing')} belongs"
            remedy = "Use weights of this system, or the overlay and the network_def they were trained with."
            raise bad_input(path, f"weights must fit the network{_of(system)}", received, remedy)
    network.load_state_dict(own | weights)
    return network


def publish_weights(sources: Sequence[str | Path], target: str | Path) -> None:
    """Write the mean of the raw ``state_dict`` in each source to ``target``, floating-point tensors in half precision.

    Half the size for the model zoo; :func:`load_weights` widens them again. The mean of weights that led to one another
    in training (Izmailov et al. 2018, Averaging weights leads to wider optima) is one network of the same cost; what
    isn't floating-point is the first one's.

    Raises:
        InputError: a source isn't a file, not a ``state_dict`` of tensors, or of another network than the first.
    """
    first, *others = (_read_tensors(str(source)) for source in sources)
    for source, other in zip(sources[1:], others, strict=True):
        if {key: value.shape for key, value in other.items()} != {key: value.shape for key, value in first.items()}:
            rule = f"weights to average are of one network, here that of {sources[0]}"
            raise bad_input(source, rule, "other tensors", "Give checkpoints of one network.")
    halves = {
        key: torch.stack([value.float(), *(other[key].float() for other in others)]).mean(dim=0).half()
        if value.is_floating_point()
        else value
        for key, value in first.items()
    }
    with replacing(target) as temporary:
        torch.save(halves, temporary)


def _of(system: str | None) -> str:
    return "" if system is None else f" of the system {system}"


def _skipped(keys: Iterable[str], skip: Sequence[str]) -> set[str]:
    """Return those of ``keys`` that are, or lie below, one of the names in ``skip``."""
    return {key for key in keys if any(key == name or key.startswith(name + ".") for name in skip)}


def _read_tensors(path: str, system: str | None = None) -> dict[str, torch.Tensor]:
    if not Path(path).is_file():
        remedy = "Train first, or set 'checkpoint', for a first stage 'localizer_checkpoint', to weights."
        if not Path(path).is_absolute():
            remedy += f" If {Path.cwd()} is not the root of the bundle, set 'bundle_root' to that."
        raise bad_input(path, f"the checkpoint{_of(system)} must be a file", "none", remedy)
    try:
        return dict(torch.load(path, map_location="cpu", weights_only=True))
    except Exception as error:  # torch raises many types for a damaged or foreign file
        rule = "a checkpoint holds a state_dict of tensors"
        raise bad_input(path, rule, f"{type(error).__name__}", "Save network.state_dict() with torch.save.") from error
