"""``python -m bundle package``, ``verify`` and ``export``."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path
from typing import Annotated

import typer

from bundle.errors import bad_input

BUNDLE_ROOT = Path(__file__).parents[2]

EXIT_FAILED = 1

DIST = Path("dist")

EXPORTED = Path("exported")


def package(
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder for the zip and its checksum.")] = DIST,
) -> None:
    """Pack the bundle as the zip file that `monai.bundle.download` takes, with its SHA-256 beside it.

    The same files give the same bytes.
    """
    from bundle.package.build import build_package

    target = build_package(BUNDLE_ROOT, output)
    typer.echo(target)
    typer.echo(target.with_name(target.name + ".sha256").read_text().split()[0])


def verify(
    source: Annotated[
        Path | None,
        typer.Argument(metavar="[ROOT|PACKAGE.zip]", help="This bundle, if nothing is given.", show_default=False),
    ] = None,
    checksums: Annotated[bool, typer.Option("--checksums", help="Compare the checksums, and no more.")] = False,
    only: Annotated[str, typer.Option(help="Only these checks, separated by commas.")] = "",
) -> None:
    """Verify a bundle as MONAI and the model zoo do: files, metadata, shapes, exports, and whole workflows.

    A package is first compared with its checksums, then unpacked into a temporary folder and verified with its own
    code. The workflows take minutes.

    Exit code 0: all is well. Exit code 1: a check failed. Exit code 2: not a bundle, or a package that was changed.
    """
    source = source or BUNDLE_ROOT
    chosen = [name.strip().replace(" ", "_") for name in only.split(",") if name.strip()]
    if source.is_dir():
        if checksums:
            from bundle.package.checksums import check_folder

            typer.echo(f"ok: {check_folder(source)} files as they were packed")
            return
        raise typer.Exit(run_checks(source, chosen))
    if not source.is_file():
        raise bad_input(source, "a bundle is a folder or a zip file", "neither", "Correct the path.")
    from bundle.package.checksums import check_package

    top = check_package(source)
    typer.echo("ok: every file is as it was packed (SHA-256)")
    if checksums:
        return
    with tempfile.TemporaryDirectory(prefix="package_") as folder, zipfile.ZipFile(source) as archive:
        archive.extractall(folder)
        raise typer.Exit(run_checks(Path(folder) / top, chosen))


def export(
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder for the files.")] = EXPORTED,
    formats: Annotated[str, typer.Option("--format", help="ts (TorchScript), onnx, or both: ts,onnx.")] = "ts,onnx",
) -> None:
    """Write both networks as TorchScript and ONNX, and compare them with the originals.

    An exported network takes the two intensity windows of a crop whose sides are multiples of 8, and gives logits. The
    cascade around it (region, paste back, clean up) is in the bundle alone.
    """
    from bundle.package.export import export_networks

    for exported in export_networks(BUNDLE_ROOT, output, [name.strip() for name in formats.split(",")]):
        typer.echo(f"{exported.path}: differs by {exported.difference:.1e} at most")


def run_checks(root: Path, only: list[str]) -> int:
    """Run the checks of the bundle at ``root`` by its own code, from another folder; return the exit code."""
    root = root.resolve()
    if not (root / "bundle" / "package" / "zoo.py").is_file():
        raise bad_input(root, "a bundle brings its own checks", "none", "Give the root of the bundle, or its package.")
    with tempfile.TemporaryDirectory(prefix="elsewhere_") as folder:
        command = [sys.executable, "-m", "bundle.package.zoo", str(root), *only]
        environment = os.environ | {"PYTHONPATH": str(root)}
        return EXIT_FAILED if subprocess.run(command, cwd=folder, env=environment).returncode else 0
