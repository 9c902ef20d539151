"""Checks of what a bundle is made of: files, metadata, weights, exports. Each returns what it saw, or raises."""

from __future__ import annotations

from importlib import import_module
from importlib.util import find_spec
from typing import Any

from bundle.errors import bad_input
from bundle.package.checksums import FILE_NAME, check_folder
from bundle.package.contents import NEEDED, package_files
from bundle.package.export import export_networks
from bundle.package.metadata import metadata_problems
from bundle.package.subject import Bundle, Skipped

LARGE_BYTES = 25_000_000
"""A larger file has to be named in large_files.yml."""


def files(bundle: Bundle) -> str:
    """The files that the zoo asks for are there, and none is too large for it."""
    names = package_files(bundle.root)
    large = [name for name in names if (bundle.root / name).stat().st_size > LARGE_BYTES]
    listing = bundle.root / "large_files.yml"
    unlisted = [name for name in large if not listing.is_file() or name not in listing.read_text()]
    if unlisted:
        raise bad_input(bundle.root, "files above 25 MB are in large_files.yml", ", ".join(unlisted), "Add them.")
    return f"{len(names)} files, among them {', '.join(NEEDED)}"


def checksums(bundle: Bundle) -> str:
    """Every file is as it was packed."""
    if not (bundle.root / FILE_NAME).is_file():
        raise Skipped("only a package carries checksums")
    return f"{check_folder(bundle.root)} files as they were packed"


def metadata(bundle: Bundle) -> str:
    """metadata.json has all that the schema and the zoo demand."""
    problems = metadata_problems(bundle.metadata)
    if problems:
        raise bad_input("configs/metadata.json", "it is complete", "; ".join(problems), "Correct it.")
    return f"version {bundle.metadata['version']}"


def metadata_schema(bundle: Bundle) -> str:
    """``monai.bundle.verify_metadata``, with the schema where the zoo's own checks put it."""
    from monai.bundle import verify_metadata

    schema = bundle.root / "eval" / "schema.json"
    if find_spec("jsonschema") is None:
        raise Skipped("jsonschema is not installed")
    if not schema.is_file():
        raise Skipped(f"the schema is on the network; save it as eval/schema.json: {bundle.metadata['schema']}")
    verify_metadata(meta_file=bundle.path("configs/metadata.json"), filepath=str(schema))
    return "valid"


def weights(bundle: Bundle) -> str:
    """Each file of weights is a raw ``state_dict`` that fits its network, and model.pt has the shortest name."""
    from monai.bundle import ConfigParser

    from bundle.networks import load_weights

    parser = ConfigParser()
    parser.read_config(bundle.path("configs/inference.json"))
    for name, network in (("model.pt", "network_def"), ("model_localizer.pt", "localizer_def")):
        load_weights(parser.get_parsed_content(network), bundle.path(f"models/{name}"))
    names = sorted((path.name for path in (bundle.root / "models").glob("*.pt")), key=len)
    if names[0] != "model.pt":
        raise bad_input("models", "model.pt has the shortest name: MONAI Label takes that", names[0], "Rename it.")
    return ", ".join(names)


def network_shapes(bundle: Bundle) -> str:
    """``monai.bundle.verify_net_in_out`` of both networks, each with its own data format."""
    from monai.bundle import verify_net_in_out

    formats = {"network_def": "network_data_format", "localizer_def": "localizer_data_format"}
    for network, data_format in formats.items():
        verify_net_in_out(
            net_id=network,
            meta_file=bundle.path("configs/metadata.json"),
            config_file=bundle.path("configs/inference.json"),
            device="cpu",
            n=2,
            bundle_root=str(bundle.root),
            **{"_meta_#network_data_format": bundle.metadata[data_format]},
        )
    return " and ".join(formats)


def torchscript(bundle: Bundle) -> str:
    """``monai.bundle.ckpt_export``, and the file can be loaded and run."""
    import torch
    from monai.bundle import ckpt_export

    target = bundle.scratch / "model.ts"
    ckpt_export(net_id="network_def", filepath=str(target), **_export_arguments(bundle))
    output = torch.jit.load(str(target))(torch.rand(1, 2, 32, 32, 32))
    return f"{target.stat().st_size / 1e6:.1f} MB, gives {tuple(output.shape)}"


def onnx(bundle: Bundle) -> str:
    """``monai.bundle.onnx_export``, and the file is a valid ONNX model."""
    missing = [name for name in ("onnx", "onnxscript") if find_spec(name) is None]
    if missing:
        raise Skipped(f"{' and '.join(missing)} not installed; see requirements-dev.txt")
    from monai.bundle import onnx_export

    target = bundle.scratch / "model.onnx"
    onnx_export(net_id="network_def", filepath=str(target), input_shape=[1, 2, 32, 32, 32], **_export_arguments(bundle))
    import_module("onnx").checker.check_model(str(target))
    return f"{target.stat().st_size / 1e6:.1f} MB"


def parity(bundle: Bundle) -> str:
    """Both networks, exported as TorchScript and ONNX, answer as the originals do."""
    missing = [name for name in ("onnx", "onnxscript", "onnxruntime") if find_spec(name) is None]
    exported = export_networks(bundle.root, bundle.scratch / "exported", ["ts"] if missing else ["ts", "onnx"])
    largest = max(network.difference for network in exported)
    return f"{', '.join(network.path.name for network in exported)} differ by {largest:.1e} at most"


def _export_arguments(bundle: Bundle) -> dict[str, Any]:
    return {
        "ckpt_file": bundle.path("models/model.pt"),
        "meta_file": bundle.path("configs/metadata.json"),
        "config_file": bundle.path("configs/inference.json"),
        "bundle_root": str(bundle.root),
    }
