"""A pipeline whose "pancreas" is whatever has 100 HU and more, so that the answer is known without weights."""

from __future__ import annotations

from pathlib import Path

import nibabel as nib
import numpy as np
import torch

# Index +x goes to the patient's left and the voxels are 1 x 1 x 5 mm: neither survives a mix-up of grids.
AFFINE = np.diag([-1.0, 1.0, 5.0, 1.0])


class HUShare(torch.nn.Module):
    """Probability of pancreas: HU / 200."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return (x / 200).clamp(0, 1)


CONFIG = {
    "imports": ["$import torch"],
    "bundle_root": ".",
    "output_dir": "output",
    "device": "cpu",
    "system": "threshold",
    "threshold": 0.5,
    "network": {"_target_": "tests.threshold_pipeline.HUShare"},
    "inferer": {"_target_": "SimpleInferer"},
    "preprocessing": {
        "_target_": "Compose",
        "transforms": [
            {"_target_": "bundle.read.LoadScand", "keys": "image"},
            {
                "_target_": "Orientationd",
                "keys": "image",
                "axcodes": "RAS",
                "labels": [["L", "R"], ["P", "A"], ["I", "S"]],
            },
        ],
    },
    "postprocessing": {
        "_target_": "Compose",
        "transforms": [
            {"_target_": "AsDiscreted", "keys": "pred", "threshold": "@threshold"},
            {"_target_": "CastToTyped", "keys": "pred", "dtype": "$torch.uint8"},
            {
                "_target_": "Invertd",
                "keys": "pred",
                "transform": "@preprocessing",
                "orig_keys": "image",
                "nearest_interp": False,
            },
        ],
    },
    "saving": {
        "_target_": "Compose",
        "transforms": [
            {"_target_": "bundle.write.SaveMaskd", "keys": "pred", "output_dir": "@output_dir"},
            {"_target_": "bundle.write.SaveMontaged", "keys": "pred", "output_dir": "@output_dir"},
            {
                "_target_": "bundle.write.SaveReportd",
                "keys": "pred",
                "output_dir": "@output_dir",
                "system": "@system",
            },
        ],
    },
}


def hu(organ: int = 120) -> np.ndarray:
    """A body of fat around soft tissue around a block of ``organ`` HU: 3 x 4 x 5 voxels."""
    voxels = np.full((16, 14, 12), -1000, dtype=np.int16)
    voxels[2:14, 2:12] = -90
    voxels[4:12, 4:10] = 40
    voxels[4:7, 5:9, 3:8] = organ
    return voxels


def save(path: Path, voxels: np.ndarray) -> Path:
    """Write a scan and return its path."""
    nib.save(nib.Nifti1Image(voxels, AFFINE), path)
    return path
