"""Real axial slices with expert masks: those of NIH Pancreas-CT that are passed around as JPEG."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from skimage import io

from bundle.errors import bad_input
from bundle.read.folds import held_out

FOLDS = 4

FAT_HU = -100.0
DARK = 8
"""Gray below which a pixel is fat as far as anyone can tell: JPEG blurs the step to black a little."""


@dataclass(frozen=True)
class RealSlice:
    """An axial slice of a patient, (1, X, Y), X from left to right and Y from back to front of the patient.

    Args:
        name: of the file.
        patient: whose slice it is.
        image: uint8, Hounsfield units from 0 to 255; less and more is clipped. The files don't say so, their medians
            do: 98 in the liver, 111 in the spleen, 156 in the kidneys, 174 in the aorta and 98 in the pancreas are the
            Hounsfield units of the portal phase, in which these scans were made.
        label: bool, the expert's pancreas.
    """

    name: str
    patient: str
    image: torch.Tensor
    label: torch.Tensor

    def image_hu(self) -> torch.Tensor:
        """Return float Hounsfield units (1, X, Y) in which what is black is fat, gas included: it was below 0."""
        gray = self.image.float()
        return torch.where(gray < DARK, FAT_HU + gray * (DARK - FAT_HU) / DARK, gray)


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
    """Return the patients that the fold, 0 to 3, tests."""
    return held_out(sorted({item.patient for item in slices}), FOLDS, fold)


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
