"""``python -m bundle.measure.on_masks DIR``: what the shape of many masks measures, as a table of quantiles."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from monai.data import MetaTensor

from bundle.errors import bad_input, show_input_errors_plainly
from bundle.measure.measurements import measure
from bundle.measure.plausible import PLAUSIBLE, implausible
from bundle.read.label import read_label

COLUMNS = (
    "volume_ml",
    "pieces",
    "largest_piece_fraction",
    "surface_lobularity_mm",
    "length_mm",
    "mean_calibre_mm",
    "max_calibre_mm",
    "seconds",
)
QUANTILES = (0.0, 0.05, 0.25, 0.5, 0.75, 0.95, 1.0)

Row = Mapping[str, float | None]

app = typer.Typer(add_completion=False)


def measure_masks(folder: Path, bit: int | None = None) -> dict[str, Row]:
    """Return the measurements of each NIfTI file in ``folder`` by its name, and the ``seconds`` of processor time.

    Args:
        folder: masks without scans, so that nothing in HU is measured.
        bit: which bit of the values tells the mask, as 1, 2, 4 ...; None takes every value but 0.
    """
    files = sorted(path for pattern in ("*.nii", "*.nii.gz") for path in folder.glob(pattern))
    if not files:
        raise bad_input(folder, "the folder holds masks as NIfTI files", "none", "Correct the path.")
    rows: dict[str, Row] = {}
    for path in files:
        mask = read_label(path)
        if bit is not None:
            mask = MetaTensor(mask.as_tensor() & bit, affine=mask.affine)
        started = time.process_time()
        found = measure(mask)
        rows[path.name.split(".")[0]] = {**found, "seconds": time.process_time() - started}
    return rows


def quantile_table(rows: Iterable[Row]) -> str:
    """Return a Markdown table of the quantiles of :data:`COLUMNS`; values that are None are left out."""
    rows = list(rows)
    heads = ["minimum", *(f"{q:.0%}" for q in QUANTILES[1:-1]), "maximum"]
    lines = [f"| | n | {' | '.join(heads)} |", "|---" * (len(heads) + 2) + "|"]
    for name in COLUMNS:
        values = [value for row in rows if (value := row[name]) is not None]
        cells = [f"{value:.3g}" for value in np.quantile(values, QUANTILES)] if values else ["–"] * len(QUANTILES)
        lines.append(f"| `{name}` | {len(values)} | {' | '.join(cells)} |")
    return "\n".join(lines)


@app.command()
def main(
    folder: Annotated[Path, typer.Argument(help="Folder with masks as NIfTI files.")],
    bit: Annotated[int | None, typer.Option(min=1, help="Bit of the values that is the mask; else any value.")] = None,
) -> None:
    """Measure the shape of all masks in a folder; print quantiles, and what is out of the plausible ranges."""
    rows = measure_masks(folder, bit)
    typer.echo(quantile_table(rows.values()) + "\n")
    for case, row in rows.items():
        for name in implausible(row):
            low, high = PLAUSIBLE[name]
            typer.echo(f"{case}: {name} {row[name]:.4g} is not within {low:g} to {high:g}")


if __name__ == "__main__":
    show_input_errors_plainly()
    app()
