"""Sub-commands of ``python -m bundle`` that measure."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from bundle.errors import bad_input


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


def compare(
    data: Annotated[Path, typer.Option(help="Medical Decathlon folder with training, validation and test.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder for weights, scores and the page.")],
    minutes: Annotated[float, typer.Option(help="Training time of each stage of each system.")] = 30,
    threads: Annotated[int, typer.Option(help="Threads of each process.")] = 1,
    scans: Annotated[int | None, typer.Option(help="Of the training set, drawn by chance; all, if not given.")] = None,
    systems: Annotated[str, typer.Option(help="Only these of the plan: default,zhu2018,...; all, if none.")] = "",
    plan: Annotated[Path | None, typer.Option(help="Systems and sizes; configs/compare.json if not given.")] = None,
    page: Annotated[Path | None, typer.Option(help="A page whose tables and pictures are replaced, too.")] = None,
) -> None:
    """Train all systems for the same time on the same scans and score them on the same held-out scans.

    Called again it goes on where it stopped, and what is finished is not done again.
    """
    from bundle.evaluation.compare import compare
    from bundle.evaluation.steps import CONFIGS, Budget
    from bundle.files import make_folder

    make_folder(output)
    console = Console(stderr=True)
    plan = plan or CONFIGS / "compare.json"
    typer.echo(compare(data, output, Budget(minutes, threads, scans), plan, _names(systems), page, console.print))


def learning_curve(
    data: Annotated[Path, typer.Option(help="Medical Decathlon folder with training, validation and test.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder for weights, scores and the page.")],
    counts: Annotated[str, typer.Option(help="Numbers of scans; 0 are the shipped weights.")] = "0,2,5,10,20",
    minutes: Annotated[float, typer.Option(help="Time of each fine-tuning.")] = 10,
    learning_rate: Annotated[float, typer.Option(help="At first, falling to 0.")] = 1e-4,
    threads: Annotated[int, typer.Option(help="Threads of each process.")] = 1,
) -> None:
    """Fine-tune the shipped segmenter on more and more scans of your own and score each on your test scans.

    Called again it goes on where it stopped, and what is finished is not done again.
    """
    from bundle.evaluation.learning_curve import learning_curve
    from bundle.evaluation.steps import Budget
    from bundle.files import make_folder

    make_folder(output)
    console = Console(stderr=True)
    typer.echo(
        learning_curve(data, output, Budget(minutes, threads), _numbers(counts), learning_rate, console.print)
    )


def ablation(
    data: Annotated[Path, typer.Option(help="Medical Decathlon folder with training and validation.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder for weights, scores and the page.")],
    real: Annotated[Path, typer.Option(envvar="PANCREAS_DATA", help="Folder of the real scans and slices.")],
    minutes: Annotated[float, typer.Option(help="Time of each fine-tuning.")] = 20,
    threads: Annotated[int, typer.Option(help="Threads of each process.")] = 1,
    variants: Annotated[str, typer.Option(help="Only these of the plan: control,real slices,...; all, if none.")] = "",
    plan: Annotated[Path | None, typer.Option(help="The variants; configs/ablation.json if not given.")] = None,
    checkpoint: Annotated[Path | None, typer.Option(help="Weights to begin with; the shipped if not given.")] = None,
) -> None:
    """Fine-tune the segmenter with and without each part of the training, score on rendered and real CT.

    Called again it goes on where it stopped, and what is finished is not done again.
    """
    from bundle.evaluation.ablation import ablation
    from bundle.evaluation.fine_tuning import SHIPPED
    from bundle.evaluation.steps import CONFIGS, Budget
    from bundle.files import make_folder

    make_folder(output)
    page = ablation(
        data,
        real,
        output,
        Budget(minutes, threads),
        plan or CONFIGS / "ablation.json",
        _names(variants),
        checkpoint=checkpoint or SHIPPED,
        on_step=Console(stderr=True).print,
    )
    typer.echo(page)


def strata(
    evaluation: Annotated[Path, typer.Argument(help="cases.csv of an evaluation, or its folder.", show_default=False)],
    data: Annotated[Path, typer.Option(help="The rendered data set that was scored.")],
    output: Annotated[Path | None, typer.Option("--output", "-o", help="Also write the table here.")] = None,
) -> None:
    """Say for which rendered scans the cascade does well: by contrast phase, slice thickness, gland and artefact."""
    from bundle.evaluation.strata import read_facts, strata_page
    from bundle.evaluation.tables import read_table
    from bundle.files import write_text

    table = evaluation / "cases.csv" if evaluation.is_dir() else evaluation
    if not table.is_file():
        raise bad_input(table, "it is the table of an evaluation", "no such file", "Run configs/evaluate.json first.")
    rows = read_table(table)
    page = strata_page(rows, read_facts(data, [row["case"] for row in rows]))
    if output is not None:
        write_text(page, output)
    typer.echo(page)


def real_ct(
    data: Annotated[Path, typer.Option(envvar="PANCREAS_DATA", help="Folder of the real scans.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder for masks, pictures and the table.")],
    device: Annotated[str, typer.Option(help="auto, cpu or cuda.")] = "auto",
    checkpoint: Annotated[Path | None, typer.Option(help="Other weights of the segmenter.")] = None,
) -> None:
    """Segment the real scans at hand and score them where there is a label."""
    from bundle.evaluation.real_ct import evaluate_real_ct, real_ct_page
    from bundle.files import make_folder, write_text

    page = real_ct_page(evaluate_real_ct(data, make_folder(output), device, checkpoint))
    write_text(page, output / "real_ct.md")
    typer.echo(page)


def _names(text: str) -> list[str]:
    return [name.strip() for name in text.split(",") if name.strip()]


def _numbers(text: str) -> list[int]:
    try:
        return [int(part) for part in text.split(",")]
    except ValueError:
        raise bad_input("--counts", "it is a list of numbers", repr(text), "Write 0,2,5,10,20.") from None
