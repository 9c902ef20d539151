"""The mask as a NIfTI file on its own grid."""

from __future__ import annotations

import os
from collections.abc import Hashable, Mapping
from typing import Any

import numpy as np
from monai.config import KeysCollection
from monai.data import MetaTensor
from monai.transforms import MapTransform

from bundle.files import write_nifti
from bundle.write.case import as_array, case_folder, foreground_box, timed

FILE_NAME = "segmentation.nii.gz"


def write_mask(mask: MetaTensor, path: str | os.PathLike[str]) -> None:
    """Write a (1, X, Y, Z) or (X, Y, Z) mask with RAS+ affine as uint8 NIfTI: what is above 0 becomes 1."""
    array = as_array(mask)
    # NIfTI runs X first: turning the whole array around would take longer than everything else here
    voxels = np.zeros(array.shape, dtype=np.uint8, order="F")
    box = foreground_box(array)
    if box is not None:
        voxels[box] = array[box] > 0
    write_nifti(voxels, np.asarray(mask.affine, dtype=float), path)


class SaveMaskd(MapTransform):
    """Write the mask to ``<output_dir>/<case>/segmentation.nii.gz`` with :func:`write_mask`.

    It has to be back on the scan's own grid by then (``Invertd``).

    Args:
        keys: masks; of several keys the last one stays.
        output_dir: parent of the case folders.
    """

    def __init__(
        self, keys: KeysCollection, output_dir: str | os.PathLike[str], allow_missing_keys: bool = False
    ) -> None:
        super().__init__(keys, allow_missing_keys)
        self.output_dir = output_dir

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        d = dict(data)
        for key in self.key_iterator(d):
            with timed(d[key], "write"):
                write_mask(d[key], case_folder(self.output_dir, d, d[key]) / FILE_NAME)
        return d
