"""What the first stage of a cascade finds in the scans that the second is trained on."""

from __future__ import annotations

import hashlib
import pickle
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import torch
from torch import nn
from tqdm import tqdm

from bundle.cascade.candidates import largest_class
from bundle.cascade.stage import Stage
from bundle.errors import bad_input
from bundle.files import write_nifti
from bundle.preprocess import grid_of, to_ras
from bundle.read import case_name, read_scan
from bundle.training.cache import file_version_hash


class FirstStageMasks:
    """A data list whose cases name the file of the first stage's foreground, made where there is none yet.

    Roth 2018, sec. 2.2: after its training the first stage is applied to every image. That happens here once, in the
    process that sets the training up and on the device of the network, not in the workers that load. A file is used
    again as long as scan, weights, stage and threshold are the same; it is named after them.

    Args:
        folder: of the masks, NIfTI on the stage's grid, in RAS order.
        network: the trained first stage, on its device.
        stage: how it sees the scan; its ``channels`` are the classes that make the foreground.
        threshold: least probability of the foreground, see :func:`~bundle.cascade.candidates.largest_class`.
        key: under which a case names its file.
    """

    def __init__(
        self, folder: str, network: nn.Module, stage: Stage, threshold: float = 0.0, key: str = "first_stage"
    ) -> None:
        self.folder = Path(folder)
        self.network = network
        self.stage = stage
        self.threshold = threshold
        self.key = key

    def __call__(self, datalist: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
        """Return the cases of ``datalist``, dictionaries with the path of an ``image``, with one more path each.

        Raises:
            InputError: a scan that can't be read, or a first stage that finds nothing in any of them, so that the
                second would see no background.
        """
        version = _version(self.network, self.stage, self.threshold)
        cases = [dict(case) | {self.key: str(self._path(case["image"], version))} for case in datalist]
        missing = [case for case in cases if not Path(case[self.key]).is_file()]
        for case in tqdm(missing, desc="first stage", unit="scan", disable=not missing):
            self._write(case["image"], case[self.key])
        if cases and not any(_holds_any(case[self.key]) for case in cases):
            rule = f"the first stage finds something in a scan at a probability of {self.threshold:g}"
            remedy = "Train the first stage for longer, or lower region_threshold."
            raise bad_input(self.folder, rule, f"nothing in {len(cases)} scans", remedy)
        return cases

    def _path(self, image: str, version: bytes) -> Path:
        key = hashlib.sha256(version + file_version_hash({"image": image})).hexdigest()[:16]
        return self.folder / f"{case_name(image)}_{key}.nii.gz"

    @torch.inference_mode()
    def _write(self, image: str, path: str) -> None:
        scan = to_ras(read_scan(image))
        grid = grid_of(scan)
        output = self.stage(scan.as_tensor(), grid, grid.box, self.network.eval())
        found = largest_class(output.probability, self.threshold).cpu().numpy().astype(np.uint8)
        ratio = [new / old for new, old in zip(output.grid.spacing_mm, grid.spacing_mm)]
        affine = np.asarray(scan.affine) @ np.diag([*ratio, 1.0])
        affine[:3, 3] += np.asarray(scan.affine)[:3, :3] @ [(r - 1) / 2 for r in ratio]
        write_nifti(found, affine, path)


def _holds_any(path: str) -> bool:
    return bool(np.any(nib.load(path).dataobj))  # type: ignore[attr-defined]


def _version(network: nn.Module, stage: Stage, threshold: float) -> bytes:
    """Return what changes with the weights or the settings of the stage."""
    digest = hashlib.sha256(pickle.dumps((stage, threshold)))
    for name, value in network.state_dict().items():
        digest.update(name.encode())
        digest.update(value.cpu().contiguous().numpy().tobytes())
    return digest.digest()
