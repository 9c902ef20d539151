"""Sub-commands of ``python -m bundle`` that measure."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console


def bench(
    output: Annotated[Path | None, typer.Option(help="Also write the tables as this Markdown page.")] = None,
    shape: Annotated[tuple[int, int, int], typer.Option(help="Voxels of the rendered scan.")] = (512, 512, 300),
    config: Annotated[Path | None, typer.Option(help="Inference config; the bundle's own if not given.")] = None,
    whole_scan: Annotated[bool, typer.Option(help="Slide the segmenter over the whole scan too.")] = True,
) -> None:
    """Measure seconds and memory of the whole job on a large scan."""
    # Imported here: PyTorch and the renderer take seconds, which every other sub-command would wait for.
    from bundle.evaluation.bench import BUNDLE_ROOT, bench_page, bench_tables, run_bench
    from bundle.files import write_text

    console = Console(stderr=True)
    with tempfile.TemporaryDirectory() as folder, console.status("rendering a scan and measuring, minutes"):
        result = run_bench(config or BUNDLE_ROOT / "configs" / "inference.json", shape, Path(folder), whole_scan)
    for table in bench_tables(result):
        Console().print(table)
    if output is not None:
        write_text(bench_page(result), output)
        typer.echo(output)


def real_ct(
    data: Annotated[Path, typer.Option(envvar="PANCREAS_DATA", help="Folder of the real scans.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder for masks, pictures and the table.")],
    device: Annotated[str, typer.Option(help="auto, cpu or cuda.")] = "auto",
) -> None:
    """Segment the real scans at hand and score them where there is a label."""
    from bundle.evaluation.real_ct import evaluate_real_ct, real_ct_page
    from bundle.files import write_text

    page = real_ct_page(evaluate_real_ct(data, output, device))
    write_text(page, output / "real_ct.md")
    typer.echo(page)
