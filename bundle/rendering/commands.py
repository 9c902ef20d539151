"""Sub-commands of ``python -m bundle`` that render CT."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from bundle.errors import bad_input
from bundle.rendering.anatomy import choose_anatomies
from bundle.rendering.composite import build_composites
from bundle.rendering.dataset import plan_scans, write_dataset
from bundle.rendering.glands import build_glands
from bundle.rendering.scanner import read_settings


def render(
    output: Annotated[Path, typer.Option(help="Folder of the data set; extended if it exists.")],
    count: Annotated[int, typer.Option(help="Number of scans.")] = 1,
    seed: Annotated[int, typer.Option(help="Same seed, same scans.")] = 0,
    anatomy: Annotated[Path | None, typer.Option(help="Folder of label maps, as `anatomy build` writes it.")] = None,
    patients: Annotated[str, typer.Option(help="Only anatomies all of whose patients are listed: A,B,...")] = "",
    procedural_share: Annotated[float, typer.Option(help="Share of procedural bodies where --anatomy is given.")] = 0.3,
    glands: Annotated[Path | None, typer.Option(help="Folder of pancreases to transplant.")] = None,
    gland_patients: Annotated[str, typer.Option(help="Only pancreases of these patients: A,B,...")] = "",
    gland_share: Annotated[float, typer.Option(help="Share of bodies that get another pancreas.")] = 0.7,
    deformation: Annotated[float, typer.Option(help="Strength of the random deformation.", min=0, max=2)] = 1.0,
    section: Annotated[str, typer.Option(help="training, validation or test.")] = "training",
    without_pancreas: Annotated[float, typer.Option(help="Share of scans cut above or below the pancreas.")] = 0.0,
    in_plane_mm: Annotated[tuple[float, float], typer.Option(help="Range of the pixel spacing.")] = (0.6, 0.95),
    thickness_mm: Annotated[tuple[float, float], typer.Option(help="Range of the slice thickness.")] = (1.0, 5.0),
    scanner: Annotated[
        Path | None, typer.Option(help="JSON file of further ranges and shares, the fields of ScannerSettings.")
    ] = None,
    workers: Annotated[int, typer.Option(help="Processes.")] = 1,
    dicom: Annotated[bool, typer.Option(help="Also write DICOM series.")] = False,
) -> None:
    """Render CT scans with their labels as a Medical Decathlon data set."""
    of_options = {"in_plane_spacing_mm": in_plane_mm, "slice_thickness_mm": thickness_mm}
    settings = read_settings(scanner, of_options | {"share_without_pancreas": without_pancreas})
    anatomies = choose(anatomy, patients, "--anatomy", "--patients")
    chosen_glands = choose(glands, gland_patients, "--glands", "--gland-patients")
    share = procedural_share if anatomies else 1.0
    scans = (count, seed, section, anatomies, share, settings, dicom)
    orders = plan_scans(*scans, glands=chosen_glands, gland_share=gland_share, deformation=deformation)
    console = Console(stderr=True)
    columns = (TextColumn("rendering"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), TimeRemainingColumn())
    with Progress(*columns, TextColumn("{task.fields[last]}"), console=console) as progress:
        task = progress.add_task("render", total=count, last="")

        def show(facts: dict) -> None:
            progress.update(task, advance=1, last=f"{facts['name']}  pancreas {facts['pancreas_ml']:.0f} ml")

        written = write_dataset(output, orders, workers, show)
    typer.echo(written)


def anatomy_build(
    source: Annotated[Path, typer.Option(help="Folder of label maps (NIfTI) whose structures have names.")],
    output: Annotated[Path, typer.Option(help="Folder for the anatomies; those already there are kept.")],
    spacing_mm: Annotated[float, typer.Option(help="Edge of a voxel.", min=0.5, max=6.0)] = 1.5,
    donors: Annotated[str, typer.Option(help="Complete maps to complete the others with: A,B,... All, if none.")] = "",
) -> None:
    """Make whole abdomens of label maps: complete maps by themselves, the others in the body of each complete one."""
    names = [name.strip() for name in donors.split(",") if name.strip()]
    with _building() as show:
        build_composites(source, output, spacing_mm, names, show)
    typer.echo(output)


def anatomy_glands(
    source: Annotated[Path, typer.Option(help="Folder of pancreas masks (NIfTI; bit 1 is the gland).")],
    output: Annotated[Path, typer.Option(help="Folder for the glands; those already there are kept.")],
    spacing_mm: Annotated[float, typer.Option(help="Edge of a voxel.", min=0.5, max=6.0)] = 1.5,
) -> None:
    """Make glands of pancreas masks, for `render --glands` to transplant into bodies."""
    with _building() as show:
        build_glands(source, output, spacing_mm, show)
    typer.echo(output)


@contextmanager
def _building() -> Iterator[Callable[[int, int, str], None]]:
    """A progress bar; yields what tells it the maps done, the number of maps and the name of the next one."""
    columns = (TextColumn("building"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), TimeRemainingColumn())
    with Progress(*columns, TextColumn("{task.fields[last]}"), console=Console(stderr=True)) as progress:
        task = progress.add_task("build", total=None, last="reading")

        def show(done: int, total: int, name: str) -> None:
            progress.update(task, completed=done, total=total, last=name)

        yield show


def choose(folder: Path | None, patients: str, folder_option: str, patients_option: str) -> list[Path]:
    """Maps of the folder all of whose patients are listed, all of them if none is; none without a folder."""
    if folder is not None:
        return choose_anatomies(folder, patients)
    if patients:
        rule, received = "it chooses among the maps of a folder", f"no {folder_option}"
        raise bad_input(patients_option, rule, received, f"Give {folder_option}, too.")
    return []
