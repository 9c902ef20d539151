"""A tiny data set for running whole workflows, as the unit tests of the model zoo make theirs."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from bundle.files import write_nifti

SIZE = 64
_SECTIONS = {"training": 4, "validation": 2, "test": 1}


def write_phantoms(folder: Path) -> Path:
    """Write a Medical Decathlon folder of seven noisy volumes of 64³ voxels of 3 mm with a bright block; return it."""
    content: dict[str, object] = {"name": "phantoms", "labels": {"0": "background", "1": "pancreas"}}
    number = 0
    for section, count in _SECTIONS.items():
        content[section] = [_write(folder, number + index) for index in range(count)]
        number += count
    (folder / "dataset.json").write_text(json.dumps(content), encoding="utf-8")
    return folder


def _write(folder: Path, number: int) -> dict[str, str]:
    label = np.zeros((SIZE, SIZE, SIZE), dtype=np.uint8)
    label[20 + 2 * number :][:16, 24:36, 28:38] = 1
    noise = np.random.default_rng(number).integers(-20, 20, label.shape)
    case = {"patient": str(number)}
    for key, voxels in (("image", (noise + 200 * label - 50).astype(np.int16)), ("label", label)):
        case[key] = f"{key}/case_{number}.nii.gz"
        write_nifti(voxels, np.diag([-3.0, -3.0, 3.0, 1.0]), folder / case[key])
    return case
