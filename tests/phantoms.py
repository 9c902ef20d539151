"""Phantoms on disk: what the tests of whole workflows run on."""

from __future__ import annotations

import json
from pathlib import Path

import nibabel
import numpy as np

from bundle.rendering.tissues import CLASSES

ROOT = Path(__file__).parents[1]


def common_settings(dataset: Path, output: Path) -> dict:
    """Overrides that every workflow of the tests has in common: where things are, and one process on the CPU."""
    return {
        "bundle_root": str(ROOT),
        "dataset_dir": str(dataset),
        "output_dir": str(output),
        "ckpt_dir": str(output / "models"),
        "device": "$torch.device('cpu')",
        "num_workers": 0,
    }


def write_dataset(folder: Path) -> Path:
    """Write a Medical Decathlon folder of seven patients: a bright block in noise on 64 x 64 x 64 voxels of 3 mm."""
    cases = [_write_phantom(folder, f"case_{index}", 20 + 2 * index) for index in range(7)]
    content = {
        "name": "phantoms",
        "labels": {str(value): name for value, name in enumerate(CLASSES)},
        "training": cases[:4],
        "validation": cases[4:6],
        "test": cases[6:],
    }
    (folder / "dataset.json").write_text(json.dumps(content))
    return folder


def _write_phantom(folder: Path, name: str, start: int) -> dict[str, str]:
    label = np.zeros((64, 64, 64), dtype=np.uint8)
    label[start : start + 16, 24:36, 28:38] = CLASSES.index("pancreas")
    noise = np.random.default_rng(start).integers(-20, 20, label.shape)
    image = (noise + 200 * label - 50).astype(np.int16)
    case = {"patient": name}
    # Stored as LPS, which is what DICOM converters write and not what the networks see.
    affine = np.diag([-3.0, -3.0, 3.0, 1.0])
    for key, volume in (("image", image), ("label", label)):
        (folder / key).mkdir(exist_ok=True)
        nibabel.save(nibabel.Nifti1Image(volume, affine), folder / key / f"{name}.nii.gz")
        case[key] = f"./{key}/{name}.nii.gz"
    return case
