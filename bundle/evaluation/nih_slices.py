"""A slice network on real slices with expert masks: the only real labels here that a network can be trained on."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from monai.bundle import ConfigParser
from monai.engines import SupervisedTrainer
from monai.handlers import LrScheduleHandler
from monai.inferers import SimpleInferer
from torch import nn
from torch.nn.functional import interpolate
from torch.optim.lr_scheduler import PolynomialLR

from bundle.cascade import MixedPrecisionInferer
from bundle.errors import bad_input
from bundle.evaluation.markdown import markdown_table
from bundle.evaluation.plateau import THRESHOLDS, dice_by_threshold, plot_plateau
from bundle.evaluation.rendered_slices import rendered_slices
from bundle.evaluation.summary import describe, spread
from bundle.evaluation.tables import Row, read_table, write_table
from bundle.files import replacing, write_text
from bundle.losses.balanced import BalancedCrossEntropyLoss
from bundle.losses.cross_entropy import VoxelCrossEntropyLoss
from bundle.losses.heads import HeadsLoss
from bundle.losses.jaccard import JaccardLoss
from bundle.networks.pnet_msa import PNetMSA
from bundle.networks.slice_segmenter import SliceSegmenter
from bundle.networks.weights import load_weights
from bundle.read.slices import RealSlice, held_out_patients
from bundle.training.growth import Growth
from bundle.training.progress import TrainingProgress
from bundle.training.real_slices import slice_loss
from bundle.training.resume import Resume
from bundle.training.slice_loader import reduced_image, slice_loader

LOSSES: dict[str, Callable[[], nn.Module]] = {
    "jaccard": JaccardLoss,
    "cross_entropy": VoxelCrossEntropyLoss,
    "balanced": BalancedCrossEntropyLoss,
    "sum": slice_loss,
}
"""The three that Cai et al. 2018 compare, and that of :class:`~bundle.training.real_slices.RealSlices`."""

THRESHOLD = 0.5
INFERENCE = Path(__file__).parents[2] / "configs" / "inference.json"

_COUNTS = ("common_pixels", "pred_pixels", "label_pixels")
_AT_THRESHOLDS = tuple(f"dice_at_{threshold:.2f}" for threshold in THRESHOLDS)
COLUMNS = ("case", "fold", "dice", *_COUNTS, *_AT_THRESHOLDS)


@dataclass(frozen=True)
class Settings:
    """How one network is trained.

    Args:
        loss: key of :data:`LOSSES`.
        fold: that is tested, 0 to 3; the others are trained on.
        epochs: in all phases together; no phase of growth takes more than its share. 0 tests what is there.
        network: key of :data:`NETWORKS`.
        checkpoint: weights to begin with; those of ``segmenter`` are the cascade's.
        units: of :class:`~bundle.networks.pnet_msa.PNetMSA`.
        channels: of the same.
        size: pixels along each side to which slices are reduced.
        batch_size: slices.
        learning_rate: at first, falling to 0.
        seed: of weights, order and augmentation.
        test_sizes: to which a slice that is tested is reduced, one after the other; the mean of the probabilities
            counts. Empty: ``size``.
    """

    loss: str = "jaccard"
    fold: int = 0
    epochs: int = 60
    network: str = "pnet_msa"
    checkpoint: str | None = None
    units: int = 5
    channels: int = 64
    size: int = 256
    batch_size: int = 4
    learning_rate: float = 1e-3
    seed: int = 0
    test_sizes: tuple[int, ...] = ()


def pnet_msa(settings: Settings) -> nn.Module:
    """Return the slice network of Cai et al. 2018."""
    return load_weights(PNetMSA(settings.units, settings.channels), settings.checkpoint)


def segmenter(settings: Settings) -> nn.Module:
    """Return the segmenter of configs/inference.json on single slices."""
    config = _inference()
    network = load_weights(config.get_parsed_content("network_def"), settings.checkpoint)
    return SliceSegmenter(network, config.get_parsed_content("windows"))


NETWORKS = {"pnet_msa": pnet_msa, "segmenter": segmenter}


def run_fold(slices: Sequence[RealSlice], settings: Settings, folder: Path, device: torch.device) -> Sequence[Row]:
    """Train on the patients of the other folds, test on this fold's, and return a row per slice (:data:`COLUMNS`).

    What is in ``folder`` already, of the same settings, is not done again: an interrupted training goes on after its
    last complete epoch, a finished fold is read.

    Raises:
        InputError: the folder is of other settings.
    """
    _check_settings(settings, folder)
    table = folder / "slices.csv"
    if not table.is_file():
        tested = set(held_out_patients(slices, settings.fold))
        network = train([item for item in slices if item.patient not in tested], settings, folder / "state.pt", device)
        rows = [_test(network, item, settings, device) for item in slices if item.patient in tested]
        write_table(rows, COLUMNS, table)
    return read_table(table)


def pretrained(data: Path, settings: Settings, folder: Path, device: torch.device) -> Path:
    """Return the path of the cascade's segmenter after it has learned from slices of rendered scans.

    What is in ``folder`` already, of the same settings, is not done again.

    Args:
        data: Medical Decathlon folder, see :func:`~bundle.evaluation.rendered_slices.rendered_slices`.
        settings: of the training; ``fold`` doesn't count.
        folder: for weights and state.
        device: to train on.

    Raises:
        InputError: no slices, or the folder is of other settings.
    """
    _check_settings(settings, folder)
    path = folder / "model.pt"
    if not path.is_file():
        network = train(rendered_slices(data, seed=settings.seed), settings, folder / "state.pt", device)
        assert isinstance(network, SliceSegmenter)
        with replacing(path) as temporary:
            torch.save(network.flat.network.state_dict(), temporary)
    return path


def train(slices: Sequence[RealSlice], settings: Settings, state: Path, device: torch.device) -> nn.Module:
    """Return the trained network.

    Each slice is its own two neighbours, since those are not at hand. PNet-MSA grows unit by unit (Cai et al. 2018,
    sec. III-A), with its objective. Adam, its polynomial decay and the augmentation
    (:func:`~bundle.training.slice_loader.slice_loader`) are our choice, the paper names none.

    Args:
        slices: of the patients to train on.
        settings: of the training.
        state: file from which to go on, and to which each epoch is saved.
        device: to train on.
    """
    torch.manual_seed(settings.seed)
    network = NETWORKS[settings.network](settings).to(device)
    if settings.epochs == 0 or _load_finished(network, state, settings.epochs):
        return network
    optimizer = torch.optim.Adam(network.parameters(), lr=settings.learning_rate)
    lr_scheduler = PolynomialLR(optimizer, total_iters=settings.epochs, power=0.9)
    growth = _growth(network, settings.epochs)
    objects = {"network": network, "optimizer": optimizer, "lr_scheduler": lr_scheduler} | growth
    SupervisedTrainer(
        device=device,
        max_epochs=settings.epochs,
        train_data_loader=slice_loader(slices, settings.size, settings.batch_size, settings.seed),
        network=network,
        optimizer=optimizer,
        inferer=MixedPrecisionInferer(SimpleInferer()),
        loss_function=_objective(settings),
        train_handlers=[
            Resume(str(state), objects),
            LrScheduleHandler(lr_scheduler, print_lr=False),  # type: ignore[arg-type]  # hint of an older torch
            *growth.values(),
            TrainingProgress(f"{settings.loss}, fold {settings.fold}"),
        ],
    ).run()
    return network


def write_page(rows_by_loss: Mapping[str, Sequence[Row]], settings: Settings, folder: Path) -> str:
    """Write and return nih_slices.md, the Dice of each loss by slice and by patient, and draw plateau.png.

    A patient's Dice is that of all slices of the patient together.
    """
    dice = {loss: np.array([[row[n] for n in _AT_THRESHOLDS] for row in rows]) for loss, rows in rows_by_loss.items()}
    plot_plateau(dice, folder / "plateau.png")
    lines = []
    for loss, rows in rows_by_loss.items():
        by_slice = describe([row["dice"] for row in rows])
        by_patient = describe(list(dice_by_patient(rows).values()))
        folds = len({row["fold"] for row in rows})
        lines.append([loss, folds, by_slice["n"], spread(by_slice), by_patient["n"], spread(by_patient)])
    parts = [
        f"{_description(settings)} at {settings.size} × {settings.size} "
        f"pixels, {settings.epochs} epochs; Dice at the slices' own size, threshold {THRESHOLD}, "
        "mean ± sd [min, max].",
        markdown_table(["loss", "folds", "slices", "Dice by slice", "patients", "Dice by patient"], lines),
        "![mean Dice of the slices by threshold](plateau.png)",
    ]
    page = "\n\n".join(parts) + "\n"
    write_text(page, folder / "nih_slices.md")
    return page


def dice_by_patient(rows: Sequence[Row]) -> dict[str, float]:
    """Return the Dice of each patient, all slices together, of what :func:`run_fold` gives."""
    counts: dict[str, Any] = {}
    for row in rows:
        patient = row["case"].split("-")[0]
        counts[patient] = counts.get(patient, 0) + np.array([row[name] for name in _COUNTS])
    return {patient: float(2 * common / (found + true)) for patient, (common, found, true) in counts.items()}


def _description(settings: Settings) -> str:
    if settings.network == "pnet_msa":
        return f"PNet-MSA of {settings.units} units, {settings.channels} channels,"
    return f"The segmenter of the cascade on single slices, from {Path(settings.checkpoint or 'random weights').name},"


def _growth(network: nn.Module, epochs: int) -> dict[str, Growth]:
    """Return the handler that grows the network, if it can, under its name in the saved state."""
    if not isinstance(network, PNetMSA):
        return {}
    phase_epochs = max(1, epochs // len(network.phase_names))
    return {"growth": Growth(network, min_epochs=phase_epochs // 2, max_epochs=phase_epochs)}


def _objective(settings: Settings) -> HeadsLoss:
    heads = ["pred", *(f"unit{k}" for k in range(1, settings.units + 1))]
    return HeadsLoss(LOSSES[settings.loss](), dict.fromkeys(heads, 1.0))


@torch.inference_mode()
def _test(network: nn.Module, item: RealSlice, settings: Settings, device: torch.device) -> Row:
    sizes = settings.test_sizes or (settings.size,)
    looks = [_probability(network.eval(), item, size, device) for size in sizes]
    probability, label = torch.stack(looks).mean(dim=0).cpu().numpy(), item.label.numpy()
    pred = probability >= THRESHOLD
    common, found, true = (int(np.count_nonzero(mask)) for mask in (pred & label, pred, label))
    dice = dice_by_threshold(probability, label)
    return {
        "case": item.name,
        "fold": settings.fold,
        "dice": float(dice[THRESHOLDS.index(THRESHOLD)]),
        **dict(zip(_COUNTS, (common, found, true))),
        **dict(zip(_AT_THRESHOLDS, dice.tolist())),
    }


def _probability(network: nn.Module, item: RealSlice, size: int, device: torch.device) -> torch.Tensor:
    image = reduced_image(item, size).to(device)
    logits = network(image[None].expand(1, 3, -1, -1))
    return interpolate(logits, size=item.label.shape[-2:], mode="bilinear", align_corners=False)[0].sigmoid()


def _load_finished(network: nn.Module, state: Path, epochs: int) -> bool:
    """Load the weights of a training that is over, if this one is: it ended before its test did."""
    if not state.is_file():
        return False
    states = torch.load(state, map_location="cpu", weights_only=True)
    if states["trainer"]["iteration"] < epochs * states["trainer"]["epoch_length"]:
        return False
    network.load_state_dict(states["network"])
    return True


def _inference() -> ConfigParser:
    config = ConfigParser()
    config.read_config(str(INFERENCE))
    return config


def _check_settings(settings: Settings, folder: Path) -> None:
    _check_sizes(settings)
    path = folder / "settings.json"
    wanted = asdict(settings) | {"test_sizes": list(settings.test_sizes)}
    if not path.is_file():
        write_text(json.dumps(wanted, indent=4) + "\n", path)
        return
    found = {"test_sizes": []} | json.loads(path.read_text(encoding="utf-8"))  # since 0.9.3
    if found != wanted:
        different = {name: value for name, value in found.items() if value != wanted.get(name)}
        raise bad_input(path, "a folder is of one setting", different, "Choose another --output, or these settings.")


def _check_sizes(settings: Settings) -> None:
    if settings.network != "segmenter":
        return
    multiple = math.prod(_inference()["network_def"]["strides"])
    for option, size in [("--size", settings.size), *(("--test-size", size) for size in settings.test_sizes)]:
        if size % multiple:
            rule = f"the segmenter takes slices of a multiple of {multiple} pixels along each side"
            raise bad_input(option, rule, size, f"The next is {size + multiple - size % multiple}.")
