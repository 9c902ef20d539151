"""``python -m bundle nih-slices``: train and test a slice network on real slices."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

DATA = Path("../shared/data")


class Loss(StrEnum):
    """The losses that Cai et al. 2018 compare."""

    JACCARD = "jaccard"
    CROSS_ENTROPY = "cross_entropy"
    BALANCED = "balanced"


class Network(StrEnum):
    """That of Cai et al. 2018, or the cascade's segmenter on single slices."""

    PNET_MSA = "pnet_msa"
    SEGMENTER = "segmenter"


def nih_slices(
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder for weights, tables and the picture.")],
    data: Annotated[Path, typer.Option(envvar="PANCREAS_DATA", help="Folder that holds nih_slices.")] = DATA,
    loss: Annotated[list[Loss] | None, typer.Option(help="May be repeated; all three if not given.")] = None,
    fold: Annotated[list[int] | None, typer.Option(min=0, max=3, help="May be repeated; all if not given.")] = None,
    epochs: Annotated[int, typer.Option(min=0, help="Of each training; 0 tests the checkpoint as it is.")] = 60,
    network: Annotated[Network, typer.Option(help="PNet-MSA, or the cascade's segmenter.")] = Network.PNET_MSA,
    checkpoint: Annotated[Path | None, typer.Option(help="Weights to begin with.")] = None,
    units: Annotated[int, typer.Option(min=1, help="Units of PNet-MSA.")] = 5,
    channels: Annotated[int, typer.Option(min=1, help="Channels of PNet-MSA.")] = 64,
    size: Annotated[int, typer.Option(min=16, help="Pixels along each side that the network sees.")] = 256,
    batch_size: Annotated[int, typer.Option(min=1, help="Slices per step.")] = 4,
    learning_rate: Annotated[float, typer.Option(help="Of Adam, at first.")] = 1e-3,
    seed: Annotated[int, typer.Option(help="Of weights, order and augmentation.")] = 0,
    device: Annotated[str, typer.Option(help="auto, cpu or cuda.")] = "auto",
) -> None:
    """Train and test a slice network on real CT slices with expert masks, split by patient into four folds.

    Called again with the same options it goes on where it stopped, and what is finished is not done again.
    """
    import torch

    from bundle.evaluation.nih_slices import Settings, run_fold, write_page
    from bundle.evaluation.tables import Row
    from bundle.read.slices import FOLDS, read_slices

    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    slices = read_slices(data)
    rows_by_loss: dict[str, list[Row]] = {}
    for name in (item.value for item in loss or Loss):
        rows_by_loss[name] = []
        for number in fold or range(FOLDS):
            settings = Settings(
                loss=name,
                fold=number,
                epochs=epochs,
                network=network.value,
                checkpoint=None if checkpoint is None else str(checkpoint),
                units=units,
                channels=channels,
                size=size,
                batch_size=batch_size,
                learning_rate=learning_rate,
                seed=seed,
            )
            folder = output / name / f"fold_{number}"
            rows_by_loss[name] += run_fold(slices, settings, folder, torch.device(device))
    typer.echo(write_page(rows_by_loss, settings, output))
