"""How well rendered slices can be told from real ones: ``python -m bundle realism``.

A small network is trained to tell them apart, on other patients than those it is asked about, and beside it single
numbers are, which say what gives a rendered slice away. An AUROC of 0.5 is a guess, 1 is certainty.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import nibabel as nib
import numpy as np
import torch
import typer
from PIL import Image
from scipy import ndimage
from torch import nn
from torch.nn.functional import binary_cross_entropy_with_logits, interpolate

from bundle.evaluation.markdown import markdown_table
from bundle.files import write_text
from bundle.quality.curves import auroc, auroc_interval
from bundle.read.datalist import load_datalist
from bundle.read.folds import held_out
from bundle.read.slices import FOLDS, read_slices

PIXEL_MM = 1.5
REAL_PIXEL_MM = 0.75
"""Of the JPEG slices, which don't say; NIH Pancreas-CT has 0.66 to 0.98."""

SIZE = (96, 64)
"""X and Y of the patch about the gland, in pixels of ``PIXEL_MM``."""

JPEG_QUALITY = 95


@dataclass(frozen=True)
class Patch:
    """A piece of a slice about the gland.

    Args:
        gray: float (X, Y) in [0, 1], 0 to 255 Hounsfield units, X from left to right, Y from back to front.
        gland: bool (X, Y).
        patient: whose it is.
        rendered: or real.
    """

    gray: torch.Tensor
    gland: torch.Tensor
    patient: str
    rendered: bool


def realism(
    data: Annotated[Path, typer.Option(envvar="PANCREAS_DATA", help="Folder that holds nih_slices.")],
    rendered: Annotated[Path, typer.Option(help="Medical Decathlon folder of rendered scans.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="Markdown page.")],
    section: Annotated[str, typer.Option(help="Of dataset.json.")] = "test",
    epochs: Annotated[int, typer.Option(min=1, help="Of the network, in each fold.")] = 30,
    seed: Annotated[int, typer.Option(help="Of weights, order and augmentation.")] = 0,
) -> None:
    """Write how well rendered slices can be told from real ones."""
    patches = [*real_patches(data), *rendered_patches(rendered, section)]
    page = realism_page(patches, classifier_scores(patches, epochs, seed))
    write_text(page, output)
    typer.echo(page)


def real_patches(data: Path) -> list[Patch]:
    """Return a patch of each slice that :func:`~bundle.read.slices.read_slices` finds."""
    spacing = (REAL_PIXEL_MM, REAL_PIXEL_MM)
    return [
        _patch(item.image[0] / 255, item.label[0], spacing, item.patient, rendered=False) for item in read_slices(data)
    ]


def rendered_patches(dataset_dir: Path, section: str) -> list[Patch]:
    """Return patches of the scans with pancreas: at the slice that shows most of it, and half-way up from there."""
    patches = []
    for item in load_datalist(dataset_dir, section):
        scan, label = (nib.as_closest_canonical(nib.load(item[key])) for key in ("image", "label"))
        gland = np.asarray(label.dataobj) == 1
        area = gland.sum(axis=(0, 1))
        if not area.any():
            continue
        middle, last = int(area.argmax()), int(np.flatnonzero(area)[-1])
        for index in sorted({middle, (middle + last) // 2}):
            gray = _as_jpeg(np.asarray(scan.dataobj[..., index], dtype=float))
            spacing = scan.header.get_zooms()[:2]
            mask = torch.from_numpy(gland[..., index])
            patches.append(_patch(gray, mask, spacing, item["patient"], rendered=True))
    return patches


def classifier_scores(patches: Sequence[Patch], epochs: int, seed: int) -> np.ndarray:
    """Return the logit of "rendered" of each patch, from a network that saw no patch of its patient."""
    scores = np.full(len(patches), np.nan)
    for fold in range(FOLDS):
        tested = {
            patient
            for of_kind in _by_kind(patches)
            for patient in held_out(sorted({patch.patient for patch in of_kind}), FOLDS, fold)
        }
        network = _trained([patch for patch in patches if patch.patient not in tested], epochs, seed)
        chosen = [index for index, patch in enumerate(patches) if patch.patient in tested]
        with torch.inference_mode():
            scores[chosen] = network(torch.stack([patches[i].gray for i in chosen])[:, None])[:, 0].numpy()
    return scores


def realism_page(patches: Sequence[Patch], scores: np.ndarray) -> str:
    """Return Markdown: the AUROC of the network and of each number, with what is usual on both sides."""
    rendered = np.array([patch.rendered for patch in patches])
    patients = [patch.patient for patch in patches]
    lines = [["network", _auroc(-scores, rendered, patients), "–", "–"]]
    for name, feature in FEATURES.items():
        values = np.array([feature(patch) for patch in patches])
        cells = [f"{values[side].mean():.3f} ± {values[side].std():.3f}" for side in (~rendered, rendered)]
        lines.append([name, _auroc(values, rendered, patients), *cells])
    slices = [f"{len(of_kind)} of {len({p.patient for p in of_kind})} patients" for of_kind in _by_kind(patches)]
    heading = ["told apart by", "AUROC (95 % interval)", "real", "rendered"]
    intro = f"Real slices: {slices[0]}; rendered ones: {slices[1]}."
    intro += f" {SIZE[0]} × {SIZE[1]} pixels of {PIXEL_MM} mm about the gland."
    return f"{intro}\n\n{markdown_table(heading, lines)}\n"


def _by_kind(patches: Sequence[Patch]) -> list[list[Patch]]:
    return [[patch for patch in patches if patch.rendered is kind] for kind in (False, True)]


def _auroc(values: np.ndarray, rendered: np.ndarray, patients: Sequence[str]) -> str:
    """The AUROC of a number whichever way it differs; the network's way is known: its score is low where rendered."""
    value = auroc(values, rendered)
    low, high = auroc_interval(values, rendered, patients)
    if value < 0.5:
        value, low, high = 1 - value, 1 - high, 1 - low
    return f"{value:.3f} ({low:.2f}–{high:.2f})"


def _as_jpeg(image_hu: np.ndarray) -> torch.Tensor:
    """Clip, round to 8 bits and compress as the real slices were, see :class:`~bundle.read.slices.RealSlice`."""
    buffer = io.BytesIO()
    Image.fromarray(image_hu.clip(0, 255).round().astype(np.uint8)).save(buffer, "JPEG", quality=JPEG_QUALITY)
    return torch.from_numpy(np.asarray(Image.open(buffer), dtype=np.float32) / 255)


def _patch(
    gray: torch.Tensor, gland: torch.Tensor, spacing_mm: Sequence[float], patient: str, rendered: bool
) -> Patch:
    size = [max(1, round(n * mm / PIXEL_MM)) for n, mm in zip(gray.shape, spacing_mm)]
    gray, share = (interpolate(v[None, None].float(), size=size, mode="area")[0, 0] for v in (gray, gland))
    centre = ndimage.center_of_mass(share.numpy())
    padded = [torch.nn.functional.pad(v, (SIZE[1], SIZE[1], SIZE[0], SIZE[0])) for v in (gray, share)]
    x, y = (round(c) + n - n // 2 for c, n in zip(centre, SIZE))
    gray, share = (v[x : x + SIZE[0], y : y + SIZE[1]] for v in padded)
    return Patch(gray, share >= 0.5, patient, rendered)


class _Classifier(nn.Sequential):
    def __init__(self) -> None:
        layers: list[nn.Module] = []
        for before, after in ((1, 16), (16, 32), (32, 64), (64, 64)):
            layers += [nn.Conv2d(before, after, 3, stride=2, padding=1), nn.BatchNorm2d(after), nn.ReLU()]
        super().__init__(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Dropout(0.3), nn.Linear(64, 1))


def _trained(patches: Sequence[Patch], epochs: int, seed: int) -> nn.Module:
    torch.manual_seed(seed)
    network = _Classifier()
    optimizer = torch.optim.AdamW(network.parameters(), lr=1e-3, weight_decay=0.01)
    gray = torch.stack([patch.gray for patch in patches])[:, None]
    target = torch.tensor([float(patch.rendered) for patch in patches])
    # A set of more rendered than real slices must not pay for itself.
    real_share = float((target == 0).float().mean())
    weight = torch.where(target == 1, real_share, 1 - real_share)
    for _ in range(epochs):
        for index in torch.randperm(len(patches)).split(16):
            if len(index) < 2:
                continue  # of one sample there is no batch norm
            logits = network(_shifted(gray[index]))[:, 0]
            loss = binary_cross_entropy_with_logits(logits, target[index], weight[index])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    return network.eval()


def _shifted(gray: torch.Tensor) -> torch.Tensor:
    """Moved by a few pixels, a little brighter or darker: neither shall tell."""
    x, y = (int(torch.randint(-6, 7, ())) for _ in range(2))
    factor, offset = torch.randn(2, len(gray), 1, 1, 1)
    return gray.roll((x, y), dims=(2, 3)) * (1 + 0.1 * factor) + 0.03 * offset


def _detail(sigma: float) -> Callable[[Patch], float]:
    """Mean size of what is about ``sigma`` pixels wide."""

    def feature(patch: Patch) -> float:
        gray = patch.gray.numpy()
        wide = ndimage.gaussian_filter(gray, 2 * sigma)
        narrow = ndimage.gaussian_filter(gray, sigma) if sigma > 0.5 else gray
        return float(np.abs(narrow - wide).mean())

    return feature


def _sharpest_edges(patch: Patch) -> float:
    return float(np.percentile(ndimage.gaussian_gradient_magnitude(patch.gray.numpy(), 0.7), 98))


def _dark(patch: Patch) -> float:
    return float((patch.gray < 0.02).float().mean())


def _bright(patch: Patch) -> float:
    return float((patch.gray > 0.9).float().mean())


def _gland(patch: Patch) -> float:
    return float(patch.gray[patch.gland].mean()) if patch.gland.any() else float(patch.gray.mean())


def _gland_texture(patch: Patch) -> float:
    return float(patch.gray[patch.gland].std()) if patch.gland.sum() > 1 else 0.0


FEATURES: dict[str, Callable[[Patch], float]] = {
    "detail of half a pixel": _detail(0.5),
    "detail of 1 pixel": _detail(1.0),
    "detail of 2 pixels": _detail(2.0),
    "detail of 4 pixels": _detail(4.0),
    "the sharpest edges": _sharpest_edges,
    "share of black": _dark,
    "share of white": _bright,
    "mean of the gland": _gland,
    "deviation in the gland": _gland_texture,
}
