"""The command line, ``python -m bundle``. A command's code is imported when the command is used."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from enum import StrEnum
from importlib import import_module
from pathlib import Path
from typing import Annotated

import typer

from bundle.errors import InputError, bad_input

PROGRAM = "python -m bundle"

EXIT_BAD_INPUT = 2

DEMO_FOLDER = Path("demo")

_HELP = {"help_option_names": ["-h", "--help"]}

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    context_settings=_HELP,
    help="Find and segment the pancreas in abdominal CT. For research, not for diagnosis.",
    epilog="`python -m bundle COMMAND --help` explains a command.",
)


class Device(StrEnum):
    """Where the networks run."""

    AUTO = "auto"
    CPU = "cpu"
    CUDA = "cuda"


class System(StrEnum):
    """Whose networks segment: those of the bundle, or of one of the published systems."""

    DEFAULT = "default"
    XUE2019 = "xue2019"
    ZHAO2019 = "zhao2019"
    CAI2018 = "cai2018"
    ZHU2018 = "zhu2018"
    ROTH2018 = "roth2018"


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line and exit; bad input is one line on stderr and exit code 2."""
    try:
        app(args=None if arguments is None else list(arguments), prog_name=PROGRAM)
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(EXIT_BAD_INPUT)


@app.command(
    epilog="[bold]Examples[/bold]\n\n"
    "One scan: `python -m bundle segment scan.nii.gz --output results`\n\n"
    "A DICOM series: `python -m bundle segment study/series_3 --output results`\n\n"
    "Everything below a folder, on the CPU: `python -m bundle segment scans --output results --device cpu`\n\n"
    "Go on after a power cut: `python -m bundle segment scans --output results --resume`"
)
def segment(
    inputs: Annotated[
        list[Path],
        typer.Argument(
            metavar="INPUT...",
            help="NIfTI files (.nii, .nii.gz), folders of DICOM files, zip files of such, folders with any of these "
            "at any depth, or a Medical Decathlon data set (its test list).",
            show_default=False,
        ),
    ],
    output: Annotated[
        Path, typer.Option("--output", "-o", help="Folder for the results; made if missing.", show_default=False)
    ],
    system: Annotated[
        System,
        typer.Option(help="Whose networks. Only the default's were trained for long, see docs/comparison.md."),
    ] = System.DEFAULT,
    device: Annotated[Device, typer.Option(help="auto takes the GPU if there is one.")] = Device.AUTO,
    save_probabilities: Annotated[
        bool,
        typer.Option("--save-probabilities", help="Also write probabilities.nii.gz: 0 to 100 percent, voxel by voxel."),
    ] = False,
    no_report: Annotated[
        bool, typer.Option("--no-report", help="Leave out overlay.png and report.html; report.json is always written.")
    ] = False,
    resume: Annotated[
        bool,
        typer.Option(
            "--resume",
            help="Keep results that are complete and come from the same scan, weights, settings and version; make the "
            "others.",
        ),
    ] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace results that are there already.")] = False,
    anonymize: Annotated[
        bool,
        typer.Option(
            "--anonymize",
            help="No names, IDs and dates of the patient in results, nor names of files; the cases are called "
            "case_001 and so on. Which is which is shown on the terminal alone.",
        ),
    ] = False,
    foreground: Annotated[
        list[str] | None,
        typer.Option(metavar="X,Y,Z", help="Voxel of the one scan that the mask should have; any number of times."),
    ] = None,
    background: Annotated[
        list[str] | None, typer.Option(metavar="X,Y,Z", help="Voxel that it should not have. See docs/clicks.md.")
    ] = None,
) -> None:
    """Segment the pancreas in CT scans.

    Each scan gets a folder in the output folder, named after its file, with

    - segmentation.nii.gz, the mask on the scan's own grid (1 is pancreas),

    - for a DICOM series: segmentation.dcm and measurements.dcm, the mask and its numbers for a DICOM viewer,

    - overlay.png and report.html, to look at,

    - report.json, outcome and reason, volume in ml, seconds by stage, versions.

    Files appear complete or not at all, report.json last. A scan that cannot be used is named with the reason.

    The others go on. Ctrl-C stops, with a table of what is done; --resume goes on from there.

    Exit code 0: all scans are fine.

    Exit code 3: done, but a scan's outcome is not ok: look at the table.

    Exit code 2: wrong usage, or no scan could be used.

    Exit code 130: stopped by Ctrl-C.
    """
    from bundle.segmentation.command import Options, run

    options = Options(
        output,
        system.value,
        device.value,
        save_probabilities,
        not no_report,
        resume,
        overwrite,
        anonymize,
        foreground or (),
        background or (),
    )
    raise typer.Exit(run(inputs, options))


@app.command()
def demo(
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder for everything.")] = DEMO_FOLDER,
    input: Annotated[
        Path | None, typer.Option(help="A scan of yours; by default one is rendered, with its truth.")
    ] = None,
    label: Annotated[Path | None, typer.Option(help="The truth of that scan; 1 is pancreas.")] = None,
    device: Annotated[Device, typer.Option(help="auto takes the GPU if there is one.")] = Device.AUTO,
) -> None:
    """Render a scan, segment it, score it against its truth and say where the picture is."""
    from bundle.demo_command import run

    raise typer.Exit(run(input, label, output, device.value))


@app.command()
def publish(
    checkpoints: Annotated[list[Path], typer.Argument(help="Weights that training saved.", show_default=False)],
    output: Annotated[Path, typer.Option("--output", "-o", help="File to write, such as models/model.pt.")],
) -> None:
    """Write weights in half precision, as the bundle ships them; of several checkpoints of one network the mean."""
    from bundle.networks import publish_weights

    publish_weights(checkpoints, output)


_FORWARD = {"allow_extra_args": True, "ignore_unknown_options": True, "help_option_names": []}


@app.command(context_settings=_FORWARD, help="Render CT scans with their labels as a data set.")
def render(context: typer.Context) -> None:
    """Forward to :func:`bundle.rendering.commands.render`."""
    _forward(context, "bundle.rendering.commands", {"render": "render"})


@app.command(context_settings=_FORWARD, help="Build label maps to render from (anatomy build, anatomy glands).")
def anatomy(context: typer.Context) -> None:
    """Forward to :func:`bundle.rendering.commands.anatomy_build` and ``anatomy_glands``."""
    _forward(context, "bundle.rendering.commands", {"build": "anatomy_build", "glands": "anatomy_glands"}, group=True)


@app.command(context_settings=_FORWARD, help="Measure seconds and memory of the whole job on a large scan.")
def bench(context: typer.Context) -> None:
    """Forward to :func:`bundle.evaluation.commands.bench`."""
    _forward(context, "bundle.evaluation.commands", {"bench": "bench"})


@app.command(context_settings=_FORWARD, help="Train and score all systems side by side; see docs/systems.md.")
def compare(context: typer.Context) -> None:
    """Forward to :func:`bundle.evaluation.commands.compare`."""
    _forward(context, "bundle.evaluation.commands", {"compare": "compare"})


@app.command("learning-curve", context_settings=_FORWARD, help="Fine-tune on more and more scans: docs/configs.md.")
def learning_curve(context: typer.Context) -> None:
    """Forward to :func:`bundle.evaluation.commands.learning_curve`."""
    _forward(context, "bundle.evaluation.commands", {"learning-curve": "learning_curve"})


@app.command(context_settings=_FORWARD, help="What each part of a training brings; see docs/configs.md.")
def ablation(context: typer.Context) -> None:
    """Forward to :func:`bundle.evaluation.commands.ablation`."""
    _forward(context, "bundle.evaluation.commands", {"ablation": "ablation"})


@app.command(context_settings=_FORWARD, help="Scores by phase, thickness, gland and artefact: docs/results.md.")
def strata(context: typer.Context) -> None:
    """Forward to :func:`bundle.evaluation.commands.strata`."""
    _forward(context, "bundle.evaluation.commands", {"strata": "strata"})


@app.command(context_settings=_FORWARD, help="Tell rendered slices from real ones: docs/rendered_ct.md.")
def realism(context: typer.Context) -> None:
    """Forward to :func:`bundle.rendering.realism.realism`."""
    _forward(context, "bundle.rendering.realism", {"realism": "realism"})


@app.command("nih-slices", context_settings=_FORWARD, help="Train and test a network on real slices: docs/systems.md.")
def nih_slices(context: typer.Context) -> None:
    """Forward to :func:`bundle.evaluation.nih_slices_command.nih_slices`."""
    _forward(context, "bundle.evaluation.nih_slices_command", {"nih-slices": "nih_slices"})


@app.command(context_settings=_FORWARD, help="Predicted Dice: fit it and measure it; see docs/quality.md.")
def quality(context: typer.Context) -> None:
    """Forward to the commands of :mod:`bundle.quality.commands`."""
    names = ("render", "score", "fit", "page")
    _forward(context, "bundle.quality.commands", {name: name for name in names}, group=True)


@app.command(context_settings=_FORWARD, help="Dice after clicks of a simulated user; see docs/clicks.md.")
def clicks(context: typer.Context) -> None:
    """Forward to :func:`bundle.clicks.commands.clicks`."""
    _forward(context, "bundle.clicks.commands", {"clicks": "clicks"})


@app.command("real-ct", context_settings=_FORWARD, help="Score the real scans at hand; see docs/real_ct.md.")
def real_ct(context: typer.Context) -> None:
    """Forward to :func:`bundle.evaluation.commands.real_ct`."""
    _forward(context, "bundle.evaluation.commands", {"real-ct": "real_ct"})


@app.command(context_settings=_FORWARD, help="Check a configuration without running it, and print what it will do.")
def check(context: typer.Context) -> None:
    """Forward to :func:`bundle.preflight.command.check`."""
    _forward(context, "bundle.preflight.command", {"check": "check"})


@app.command(context_settings=_FORWARD, help="Pack the bundle as the zip file that MONAI downloads, with its checksum.")
def package(context: typer.Context) -> None:
    """Forward to :func:`bundle.package.command.package`."""
    _forward(context, "bundle.package.command", {"package": "package"})


@app.command(context_settings=_FORWARD, help="Write both networks as TorchScript and ONNX.")
def export(context: typer.Context) -> None:
    """Forward to :func:`bundle.package.command.export`."""
    _forward(context, "bundle.package.command", {"export": "export"})


@app.command(context_settings=_FORWARD, help="Verify the bundle, or a package of it, as MONAI and the model zoo do.")
def verify(context: typer.Context) -> None:
    """Forward to :func:`bundle.package.command.verify`."""
    _forward(context, "bundle.package.command", {"verify": "verify"})


@app.command(context_settings=_FORWARD, help="Start MONAI Label with this bundle on a folder or a PACS.")
def label(context: typer.Context) -> None:
    """Forward to :func:`bundle.label.command.label`."""
    _forward(context, "bundle.label.command", {"label": "label"})


def _forward(context: typer.Context, module: str, functions: dict[str, str], group: bool = False) -> None:
    """Run functions of a module as commands with the arguments that were not looked at here.

    Args:
        context: of the forwarding command.
        module: to import now.
        functions: command name to function name.
        group: the commands keep their names, even if there is one only.
    """
    commands = typer.Typer(
        no_args_is_help=group, add_completion=False, pretty_exceptions_enable=False, context_settings=_HELP
    )
    loaded = import_module(module)
    for name, function in functions.items():
        if not hasattr(loaded, function):
            raise bad_input(name, "the command exists", f"no {module}.{function}", "Update the bundle.")
        commands.command(name)(getattr(loaded, function))
    if group:
        commands.callback(help=context.command.help)(_group)
    commands(args=context.args, prog_name=f"{PROGRAM} {context.info_name}")


def _group() -> None:
    """Typer's place for the help of a group."""
