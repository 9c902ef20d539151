"""Slices as the JPEG files of NIH Pancreas-CT are, with a square for the pancreas."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from skimage import io


def write_slices(folder: Path) -> Path:
    """Write a bright square on a dark noisy ground, 32 pixels wide, two slices of each of eight patients."""
    rng = np.random.default_rng(0)
    for kind in ("images", "masks"):
        (folder / "nih_slices" / kind).mkdir(parents=True)
    for patient in range(8):
        for number in range(2):
            mask = np.zeros((32, 32), dtype=np.uint8)
            row, column = rng.integers(2, 16, size=2)
            mask[row : row + 12, column : column + 12] = 255
            image = (mask // 2 + rng.integers(0, 40, size=mask.shape)).astype(np.uint8)
            for kind, pixels in (("images", image), ("masks", mask)):
                path = folder / "nih_slices" / kind / f"PANCREAS_{patient:04d}-1{number:03d}.jpg"
                io.imsave(path, pixels, check_contrast=False)
    return folder
