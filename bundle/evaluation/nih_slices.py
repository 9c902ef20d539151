"""PNet-MSA on real slices with expert masks: the only real labels here that a network can be trained on."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from monai.data import DataLoader, Dataset
from monai.engines import SupervisedTrainer
from monai.handlers import LrScheduleHandler
from monai.transforms import (
    Compose,
    EnsureTyped,
    RandAffined,
    RandScaleIntensityd,
    RandShiftIntensityd,
    RepeatChanneld,
)
from skimage import io
from torch import nn
from torch.nn.functional import interpolate
from torch.optim.lr_scheduler import PolynomialLR

from bundle.errors import bad_input
from bundle.evaluation.folds import held_out
from bundle.evaluation.markdown import markdown_table
from bundle.evaluation.plateau import THRESHOLDS, dice_by_threshold, plot_plateau
from bundle.evaluation.summary import describe, spread
from bundle.evaluation.tables import Row, read_table, write_table
from bundle.files import write_text
from bundle.losses.balanced import BalancedCrossEntropyLoss
from bundle.losses.cross_entropy import VoxelCrossEntropyLoss
from bundle.losses.heads import HeadsLoss
from bundle.losses.jaccard import JaccardLoss
from bundle.networks.pnet_msa import PNetMSA
from bundle.training.growth import Growth
from bundle.training.progress import TrainingProgress
from bundle.training.resume import Resume

LOSSES: dict[str, type[nn.Module]] = {
    "jaccard": JaccardLoss,
    "cross_entropy": VoxelCrossEntropyLoss,
    "balanced": BalancedCrossEntropyLoss,
}
FOLDS = 4
THRESHOLD = 0.5

_COUNTS = ("common_pixels", "pred_pixels", "label_pixels")
_AT_THRESHOLDS = tuple(f"dice_at_{threshold:.2f}" for threshold in THRESHOLDS)
COLUMNS = ("case", "fold", "dice", *_COUNTS, *_AT_THRESHOLDS)


@dataclass(frozen=True)
class RealSlice:
    """An axial slice of a patient, (1, X, Y), X from left to right and Y from back to front of the patient.

    Args:
        name: of the file.
        patient: whose slice it is.
        image: uint8, in a window that is not known.
        label: bool, the expert's pancreas.
    """

    name: str
    patient: str
    image: torch.Tensor
    label: torch.Tensor


@dataclass(frozen=True)
class Settings:
    """How one network is trained.

    Args:
        loss: key of :data:`LOSSES`.
        fold: that is tested, 0 to 3; the others are trained on.
        epochs: in all phases together; no phase of growth takes more than its share.
        units: of :class:`~bundle.networks.pnet_msa.PNetMSA`.
        channels: of the same.
        size: pixels along each side to which slices are reduced.
        batch_size: slices.
        learning_rate: at first, falling to 0.
        seed: of weights, order and augmentation.
    """

    loss: str = "jaccard"
    fold: int = 0
    epochs: int = 60
    units: int = 5
    channels: int = 64
    size: int = 256
    batch_size: int = 4
    learning_rate: float = 1e-3
    seed: int = 0


def read_slices(data: Path) -> list[RealSlice]:
    """Return the slices in ``data`` / nih_slices, sorted by name.

    The files are shown from below with the patient's back at the top: rows run from back to front as they are, columns
    from right to left.

    Raises:
        InputError: no slices, or a slice without a mask of its size.
    """
    folder = data / "nih_slices"
    paths = sorted((folder / "images").glob("PANCREAS_*.jpg"))
    if not paths:
        rule = "the folder holds images and masks, PANCREAS_<patient>-<slice>.jpg"
        raise bad_input(folder, rule, "none", "Set PANCREAS_DATA or --data.")
    return [_read_slice(path, folder / "masks" / path.name) for path in paths]


def held_out_patients(slices: Sequence[RealSlice], fold: int) -> list[str]:
    """Return the patients that the fold tests."""
    return held_out(sorted({item.patient for item in slices}), FOLDS, fold)


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


def train(slices: Sequence[RealSlice], settings: Settings, state: Path, device: torch.device) -> PNetMSA:
    """Return PNet-MSA trained on ``slices``, grown unit by unit (Cai et al. 2018, sec. III-A), with its objective.

    Each slice is its own two neighbours, since those are not at hand. Adam, its polynomial decay and the
    augmentation (rotation, scale, shift, intensity) are our choice, the paper names none.

    Args:
        slices: of the patients to train on.
        settings: of the training.
        state: file from which to go on, and to which each epoch is saved.
        device: to train on.
    """
    torch.manual_seed(settings.seed)
    network = PNetMSA(settings.units, settings.channels).to(device)
    optimizer = torch.optim.Adam(network.parameters(), lr=settings.learning_rate)
    phase_epochs = max(1, settings.epochs // len(network.phase_names))
    lr_scheduler = PolynomialLR(optimizer, total_iters=settings.epochs, power=0.9)
    growth = Growth(network, min_epochs=phase_epochs // 2, max_epochs=phase_epochs)
    objects = {"network": network, "optimizer": optimizer, "lr_scheduler": lr_scheduler, "growth": growth}
    trainer = SupervisedTrainer(
        device=device,
        max_epochs=settings.epochs,
        train_data_loader=_loader(slices, settings),
        network=network,
        optimizer=optimizer,
        loss_function=_objective(settings),
        train_handlers=[
            Resume(str(state), objects),
            LrScheduleHandler(lr_scheduler, print_lr=False),  # type: ignore[arg-type]  # hint of an older torch
            growth,
            TrainingProgress(f"{settings.loss}, fold {settings.fold}"),
        ],
    )
    if not _load_finished(network, state, settings.epochs):
        trainer.run()
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
        by_patient = describe(_dice_by_patient(rows))
        folds = len({row["fold"] for row in rows})
        lines.append([loss, folds, by_slice["n"], spread(by_slice), by_patient["n"], spread(by_patient)])
    parts = [
        f"PNet-MSA of {settings.units} units, {settings.channels} channels, at {settings.size} × {settings.size} "
        f"pixels, {settings.epochs} epochs; Dice at the slices' own size, threshold {THRESHOLD}, "
        "mean ± sd [min, max].",
        markdown_table(["loss", "folds", "slices", "Dice by slice", "patients", "Dice by patient"], lines),
        "![mean Dice of the slices by threshold](plateau.png)",
    ]
    page = "\n\n".join(parts) + "\n"
    write_text(page, folder / "nih_slices.md")
    return page


def _read_slice(path: Path, mask_path: Path) -> RealSlice:
    patient = re.match(r"PANCREAS_\d+", path.stem)
    if patient is None:
        rule = "a slice is named PANCREAS_<patient>-<slice>.jpg"
        raise bad_input(path, rule, path.name, "Rename it: slices are split by patient.")
    if not mask_path.is_file():
        raise bad_input(path, "a slice has a mask of its name", f"no {mask_path}", "Add the mask, or remove the slice.")
    image, mask = _read_gray(path), _read_gray(mask_path)
    if image.shape != mask.shape:
        raise bad_input(mask_path, f"a mask has its slice's size {image.shape}", mask.shape, "Replace the mask.")
    # A JPEG has grey pixels about the mask's edge.
    return RealSlice(path.stem, patient[0], torch.from_numpy(image)[None], torch.from_numpy(mask > 127)[None])


def _read_gray(path: Path) -> np.ndarray:
    try:
        pixels = io.imread(path)
    except (OSError, SyntaxError, ValueError) as error:
        raise bad_input(path, "a slice is a JPEG", type(error).__name__, "Fetch the file again.") from error
    rows = pixels[..., 0] if pixels.ndim == 3 else pixels
    return np.ascontiguousarray(rows.T[::-1])


def _loader(slices: Sequence[RealSlice], settings: Settings) -> DataLoader:
    both, modes = ["image", "label"], ["bilinear", "nearest"]
    augmentation = Compose(
        [
            RandAffined(
                both,
                prob=0.8,
                rotate_range=0.15,
                scale_range=[0.1, 0.1],
                translate_range=[settings.size / 20] * 2,
                mode=modes,
                padding_mode="border",
            ),
            RandScaleIntensityd("image", factors=0.15, prob=0.5),
            RandShiftIntensityd("image", offsets=0.05, prob=0.5),
            RepeatChanneld("image", repeats=3),
            EnsureTyped(both, track_meta=False),
        ]
    ).set_random_state(settings.seed)
    items = [{"image": _reduced_image(s, settings), "label": _reduced_label(s, settings)} for s in slices]
    return DataLoader(Dataset(items, augmentation), batch_size=settings.batch_size, shuffle=True, num_workers=0)


def _objective(settings: Settings) -> HeadsLoss:
    heads = ["pred", *(f"unit{k}" for k in range(1, settings.units + 1))]
    return HeadsLoss(LOSSES[settings.loss](), dict.fromkeys(heads, 1.0))


@torch.inference_mode()
def _test(network: PNetMSA, item: RealSlice, settings: Settings, device: torch.device) -> Row:
    image = _reduced_image(item, settings).to(device)
    logits = network.eval()(image[None].expand(1, 3, -1, -1))
    logits = interpolate(logits, size=item.label.shape[-2:], mode="bilinear", align_corners=False)
    probability, label = logits.sigmoid()[0].cpu().numpy(), item.label.numpy()
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


def _reduced_image(item: RealSlice, settings: Settings) -> torch.Tensor:
    return _reduced(item.image / 255, settings.size)


def _reduced_label(item: RealSlice, settings: Settings) -> torch.Tensor:
    """Float (1, X, Y): 1 where at least half of a pixel is pancreas."""
    return (_reduced(item.label.float(), settings.size) >= 0.5).float()


def _reduced(values: torch.Tensor, size: int) -> torch.Tensor:
    return interpolate(values[None], size=(size, size), mode="area")[0]


def _load_finished(network: PNetMSA, state: Path, epochs: int) -> bool:
    """Load the weights of a training that is over, if this one is: it ended before its test did."""
    if not state.is_file():
        return False
    states = torch.load(state, map_location="cpu", weights_only=True)
    if states["trainer"]["iteration"] < epochs * states["trainer"]["epoch_length"]:
        return False
    network.load_state_dict(states["network"])
    return True


def _check_settings(settings: Settings, folder: Path) -> None:
    path = folder / "settings.json"
    wanted = asdict(settings)
    if not path.is_file():
        write_text(json.dumps(wanted, indent=4) + "\n", path)
        return
    found = json.loads(path.read_text(encoding="utf-8"))
    if found != wanted:
        different = {name: value for name, value in found.items() if value != wanted.get(name)}
        raise bad_input(path, "a folder is of one setting", different, "Choose another --output, or these settings.")


def _dice_by_patient(rows: Sequence[Row]) -> list[float]:
    counts: dict[str, Any] = {}
    for row in rows:
        patient = row["case"].split("-")[0]
        counts[patient] = counts.get(patient, 0) + np.array([row[name] for name in _COUNTS])
    return [float(2 * common / (found + true)) for common, found, true in counts.values()]
