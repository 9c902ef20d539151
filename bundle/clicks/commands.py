"""``python -m bundle clicks``: what clicks are worth, by a simulated user."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def clicks(
    data: Annotated[Path, typer.Option(help="Folder with dataset.json: scans whose truth is known.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder for clicks.csv, clicks.png and clicks.md.")],
    section: Annotated[str, typer.Option(help="training, validation or test.")] = "validation",
    skip: Annotated[int, typer.Option(min=0, help="Leave out the first scans of the section.")] = 0,
    count: Annotated[int, typer.Option(min=1, help="Clicks in each scan.")] = 10,
    real: Annotated[Path | None, typer.Option(help="Folder of the real scans: those with a label join.")] = None,
    balls_mm: Annotated[str, typer.Option(help="Radii of painted balls to compare with.")] = "5,8",
    device: Annotated[str, typer.Option(help="auto, cpu or cuda.")] = "auto",
) -> None:
    """Click into the middle of the largest error, again and again, and write the Dice after each click."""
    from bundle.clicks.curve import curves, real_scans, rendered_scans
    from bundle.clicks.plot import plot_curves
    from bundle.clicks.tables import dice_table, difference_table
    from bundle.evaluation.tables import write_table
    from bundle.files import make_folder, write_text

    make_folder(output)
    scans = [*(real_scans(real) if real is not None else []), *rendered_scans(data, section, skip)]
    columns = ["case", "method", *(f"dice_{k}" for k in range(count + 1))]
    rows = []
    for row in curves(scans, count, [float(radius) for radius in balls_mm.split(",")], device):
        rows.append(row)
        write_table(rows, columns, output / "clicks.csv")
        typer.echo(f"{row['case']}  {row['method']}  {row['dice_0']:.2f} -> {row[f'dice_{count}']:.2f}", err=True)
    plot_curves(rows, output / "clicks.png")
    page = f"{dice_table(rows)}\n\n{difference_table(rows)}\n"
    write_text(page, output / "clicks.md")
    typer.echo(page)
