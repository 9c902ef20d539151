"""``python -m bundle check``: what a configuration will do, or why it cannot."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from bundle.errors import InputError, bad_input

EXIT_BAD_INPUT = 2


def check(
    settings: Annotated[
        list[str] | None,
        typer.Argument(metavar="[KEY=VALUE]...", help="Settings, as for `monai.bundle run`.", show_default=False),
    ] = None,
    config_file: Annotated[
        list[str] | None,
        typer.Option(
            "--config_file",
            "--config-file",
            "-c",
            help="Configuration and overlays, the later ones win; repeat it, or write a list as for MONAI. "
            "By default configs/inference.json of this bundle.",
            show_default=False,
        ),
    ] = None,
    system: Annotated[
        str, typer.Option(help="With the overlay configs/system_NAME.json on top.", metavar="NAME")
    ] = "default",
    run_id: Annotated[str, typer.Option("--run_id", "--run-id", help="What will be run.")] = "run",
) -> None:
    """Check a configuration without running it, and print what it will do, in the order in which the data flows.

    Named are misspelled keys with the nearest known one, missing files, weights that don't fit their network, data
    that isn't there, and versions of packages that were not tested.

    Exit code 0: it can run. Exit code 2: it cannot, and the reasons are on stderr.
    """
    # Imported here: PyTorch and MONAI take seconds, which `--help` would wait for.
    from bundle.preflight.configuration import BUNDLE_ROOT, parse_settings, read_configuration
    from bundle.preflight.keys import key_problems
    from bundle.preflight.plan import plan_lines
    from bundle.preflight.resources import resource_problems
    from bundle.preflight.versions import version_findings

    missing, notes = version_findings()
    _say("warning", notes)
    try:
        chosen = parse_settings(settings or [])
        files = _files(config_file) or [str(BUNDLE_ROOT / "configs" / "inference.json")]
        if system != "default":
            files.append(str(BUNDLE_ROOT / "configs" / f"system_{system}.json"))
        configuration = read_configuration(files, chosen, run_id)
    except InputError as error:
        _refuse([*missing, str(error)])
    problems = key_problems(configuration)
    if problems:
        _refuse([*missing, *problems])
    if "bundle_root" in configuration.merged and "bundle_root" not in configuration.settings:
        root = _root(str(configuration.merged["bundle_root"]), configuration.files[0])
        if root is not None:
            configuration.settings["bundle_root"] = root
            if config_file:
                _say("warning", [_root_note(root)])
    found = resource_problems(configuration)
    for line in plan_lines(configuration, found.cases):
        typer.echo(line)
    if missing or found.problems:
        _refuse([*missing, *found.problems])
    typer.echo("ready")


def _files(given: list[str] | None) -> list[str]:
    """Return the files of all ``--config_file``, each a path or a list of paths in MONAI's notation."""
    from fire.parser import DefaultParseValue

    files: list[str] = []
    for text in given or ():
        value: Any = DefaultParseValue(text)
        files += [str(item) for item in value] if isinstance(value, (list, tuple)) else [text]
    return files


def _root(configured: str, file: Path) -> str | None:
    """Return the bundle's root where the configured one isn't it, which happens in any other folder; else None."""
    from bundle.preflight.configuration import BUNDLE_ROOT

    if configured.startswith("$") or (Path(configured) / "configs").is_dir():
        return None
    parent = file.absolute().parents[1]
    return str(parent if (parent / "configs" / "metadata.json").is_file() else BUNDLE_ROOT)


def _root_note(root: str) -> str:
    rule = "outside the root of the bundle, MONAI must be told where it is"
    return str(bad_input("bundle_root", rule, "the current folder", f"Add --bundle_root {root} to `monai.bundle run`."))


def _say(kind: str, sentences: list[str]) -> None:
    for sentence in sentences:
        typer.echo(f"{kind}: {sentence}", err=True)


def _refuse(problems: list[str]) -> None:
    _say("error", problems)
    raise typer.Exit(EXIT_BAD_INPUT)
