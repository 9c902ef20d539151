"""Commands of the quality score: render graded scans, score scans, fit the calibration, write the page."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

FEATURES = ("coarse_probability", "mean_probability", "second_look_dice")
"""Opinions that the calibration uses."""


def render(
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder of the data set; extended if it exists.")],
    anatomy: Annotated[Path, typer.Option(help="Folder of label maps, as `anatomy build` writes it.")],
    count: Annotated[int, typer.Option(min=1, help="Scans of each grade.")] = 10,
    seed: Annotated[int, typer.Option(help="Same seed, same scans.")] = 9610,
    section: Annotated[str, typer.Option(help="validation or test.")] = "validation",
    patients: Annotated[str, typer.Option(help="Only anatomies all of whose patients are listed: A,B,...")] = "",
    glands: Annotated[Path | None, typer.Option(help="Folder of pancreases; by default those of the bodies.")] = None,
    gland_patients: Annotated[str, typer.Option(help="Only pancreases of these patients: A,B,...")] = "",
    workers: Annotated[int, typer.Option(min=1, help="Processes.")] = 1,
) -> None:
    """Render scans that are harder than the usual ones, in two grades."""
    from bundle.quality.graded import plan_grades
    from bundle.rendering.commands import choose
    from bundle.rendering.dataset import write_dataset

    bodies = choose(anatomy, patients, "--anatomy", "--patients")
    chosen = choose(glands, gland_patients, "--glands", "--gland-patients") or bodies
    typer.echo(write_dataset(output, plan_grades(count, seed, section, bodies, chosen), workers, _show_facts))


def score(
    data: Annotated[Path, typer.Argument(help="Folder with dataset.json.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="CSV; scans in it are not segmented again.")],
    section: Annotated[str, typer.Option(help="training, validation or test.")] = "validation",
    device: Annotated[str, typer.Option(help="auto, cpu or cuda.")] = "auto",
) -> None:
    """Segment scans whose truth is known; write opinions and Dice of each."""
    from bundle.quality.score import score_scans

    rows = score_scans(data, section, output, device, _show_row, _show_problem)
    typer.echo(f"{len(rows)} scans in {output}")


def fit(
    scores: Annotated[Path, typer.Argument(help="CSV of scored validation scans.")],
    output: Annotated[Path | None, typer.Option("--output", "-o", help="The bundle's own if not given.")] = None,
) -> None:
    """Fit the calibration on scored scans, never on those that it will be reported on."""
    from bundle.quality.calibration import fit as fit_rows
    from bundle.quality.predict import CALIBRATION
    from bundle.quality.score import read_rows, with_mask

    target = output or CALIBRATION
    fit_rows(with_mask(read_rows(scores)), FEATURES).write(target)
    typer.echo(target)


def page(
    scores: Annotated[Path, typer.Argument(help="CSV of scored test scans.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="The page, whose tables are replaced.")],
    data: Annotated[
        Path | None, typer.Option(envvar="PANCREAS_DATA", help="Folder that holds pancreas_masks; without it no part.")
    ] = None,
    calibration: Annotated[Path | None, typer.Option(help="The bundle's own if not given.")] = None,
) -> None:
    """Write tables and pictures of docs/quality.md anew."""
    from bundle.evaluation.markdown import fill_in
    from bundle.quality.calibration import Calibration
    from bundle.quality.masks import agreement_rows
    from bundle.quality.page import real_tables, rendered_tables
    from bundle.quality.predict import CALIBRATION
    from bundle.quality.score import read_rows

    images = output.parent / "images"
    parts = rendered_tables(read_rows(scores), Calibration.read(calibration or CALIBRATION), images)
    if data is not None:
        parts |= real_tables(agreement_rows(data / "pancreas_masks"), images)
    fill_in(output, parts)
    typer.echo(output)


def _show_facts(facts: Mapping[str, Any]) -> None:
    typer.echo(f"{facts['name']}  pancreas {facts['pancreas_ml']:.0f} ml", err=True)


def _show_row(row: Mapping[str, Any]) -> None:
    typer.echo(f"{row['case']}  {row['outcome']}  Dice {row['dice']:.2f}", err=True)


def _show_problem(problem: Exception) -> None:
    typer.echo(f"left out: {problem}", err=True)
