"""``python -m bundle nih-slices``: train and test a slice network on real slices."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

DATA = Path("../shared/data")


class Loss(StrEnum):
    """The losses that Cai et al. 2018 compare, and the sum of the first two, with which the cascade sees slices."""

    JACCARD = "jaccard"
    CROSS_ENTROPY = "cross_entropy"
    BALANCED = "balanced"
    SUM = "sum"


class Network(StrEnum):
    """That of Cai et al. 2018, or the cascade's segmenter on single slices."""

    PNET_MSA = "pnet_msa"
    SEGMENTER = "segmenter"


LOSSES = {Network.PNET_MSA: [Loss.JACCARD, Loss.CROSS_ENTROPY, Loss.BALANCED], Network.SEGMENTER: [Loss.SUM]}


def nih_slices(
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder for weights, tables and the picture.")],
    data: Annotated[Path, typer.Option(envvar="PANCREAS_DATA", help="Folder that holds nih_slices.")] = DATA,
    loss: Annotated[
        list[Loss] | None, typer.Option(help="May be repeated; sum for the segmenter, the others for PNet-MSA.")
    ] = None,
    fold: Annotated[list[int] | None, typer.Option(min=0, max=3, help="May be repeated; all if not given.")] = None,
    epochs: Annotated[int, typer.Option(min=0, help="Of each training; 0 tests the checkpoint as it is.")] = 60,
    network: Annotated[Network, typer.Option(help="PNet-MSA, or the cascade's segmenter.")] = Network.PNET_MSA,
    checkpoint: Annotated[Path | None, typer.Option(help="Weights to begin with.")] = None,
    rendered: Annotated[
        Path | None, typer.Option(help="Folder with dataset.json: the segmenter learns from slices of its scans first.")
    ] = None,
    rendered_epochs: Annotated[int, typer.Option(min=1, help="Of that; three slices of each scan.")] = 3,
    units: Annotated[int, typer.Option(min=1, help="Units of PNet-MSA.")] = 5,
    channels: Annotated[int, typer.Option(min=1, help="Channels of PNet-MSA.")] = 64,
    size: Annotated[int, typer.Option(min=16, help="Pixels along each side that the network sees.")] = 256,
    test_size: Annotated[
        list[int] | None, typer.Option(min=16, help="The same in tests; repeated: mean of the probabilities.")
    ] = None,
    batch_size: Annotated[int, typer.Option(min=1, help="Slices per step.")] = 4,
    learning_rate: Annotated[float, typer.Option(help="Of Adam, at first.")] = 1e-3,
    seed: Annotated[int, typer.Option(help="Of weights, order and augmentation.")] = 0,
    device: Annotated[str, typer.Option(help="auto, cpu or cuda.")] = "auto",
) -> None:
    """Train and test a slice network on real CT slices with expert masks, split by patient into four folds.

    Called again with the same options it goes on where it stopped, and what is finished is not done again.
    """
    from dataclasses import replace

    import torch

    from bundle.errors import bad_input
    from bundle.evaluation.nih_slices import Settings, pretrained, run_fold, write_page
    from bundle.evaluation.tables import Row
    from bundle.files import make_folder
    from bundle.read.slices import FOLDS, read_slices

    make_folder(output)
    if rendered is not None and network is not Network.SEGMENTER:
        rule = "it is the cascade's segmenter that learns from rendered slices"
        raise bad_input("--rendered", rule, f"--network {network.value}", "Add --network segmenter.")
    place = torch.device(("cuda" if torch.cuda.is_available() else "cpu") if device == "auto" else device)
    common = Settings(
        epochs=epochs,
        network=network.value,
        checkpoint=None if checkpoint is None else str(checkpoint),
        units=units,
        channels=channels,
        size=size,
        batch_size=batch_size,
        learning_rate=learning_rate,
        seed=seed,
        test_sizes=tuple(test_size or ()),
    )
    slices = read_slices(data)
    rows_by_loss: dict[str, list[Row]] = {}
    for name in (item.value for item in loss or LOSSES[network]):
        settings = replace(common, loss=name)
        if rendered is not None:
            start = pretrained(rendered, replace(settings, epochs=rendered_epochs), output / name / "rendered", place)
            settings = replace(settings, checkpoint=str(start))
        rows_by_loss[name] = []
        for number in fold or range(FOLDS):
            folder = output / name / f"fold_{number}"
            rows_by_loss[name] += run_fold(slices, replace(settings, fold=number), folder, place)
    typer.echo(write_page(rows_by_loss, settings, output))
