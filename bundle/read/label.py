"""A label map that belongs to a scan, its values turned into class indices."""

from __future__ import annotations

import logging
import os
from collections.abc import Hashable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from monai.config import KeysCollection
from monai.data import MetaTensor
from monai.transforms import MapTransform

from bundle.errors import bad_input
from bundle.read.checks import same_grid
from bundle.read.nifti import read_voxels
from bundle.read.scan import as_meta_tensor, read_header

logger = logging.getLogger(__name__)


def read_label(
    path: str | os.PathLike[str], classes: Mapping[int, int] | None = None, allow_empty: bool = True
) -> MetaTensor:
    """Return the label map as (1, X, Y, Z) uint8 class indices on its own grid.

    A map without foreground is legitimate (a scan that ends above the pancreas) and is noted in the log.

    Args:
        path: .nii or .nii.gz file.
        classes: value in the file to class index, as :func:`bundle.read.label_classes` gives; None keeps the values.
        allow_empty: accept a map without foreground.

    Raises:
        InputError: unreadable, values that are no integers from 0 to 255, values that ``classes`` does not know,
            no foreground although it is not allowed.
    """
    source = Path(path)
    header = read_header(source)
    values = read_voxels(source, header.handle)
    labels = _to_classes(source, values, classes)
    if not labels.any():
        if not allow_empty:
            raise bad_input(source, "a label map has foreground", "background everywhere", "Leave this case out.")
        logger.warning("%s: the label map has no foreground; the scan counts as one without pancreas", source)
    return as_meta_tensor(labels, header.affine, source)


def check_same_grid(label_path: Any, label_grid: _Grid, scan_path: Any, scan_grid: _Grid) -> None:
    """Refuse a label map whose (shape, affine) are not its scan's, to half a voxel at the corners."""
    label_shape, label_affine = label_grid
    scan_shape, scan_affine = scan_grid
    remedy = "Resample the label map onto the scan with nearest neighbours, or pair the right files."
    if tuple(label_shape) != tuple(scan_shape):
        received = f"{_by(label_shape)} for the {_by(scan_shape)} of {scan_path}"
        raise bad_input(label_path, "a label map has the shape of its scan", received, remedy)
    if not same_grid(label_affine, scan_affine, scan_shape):
        received = f"the affine {_short(label_affine)} for {_short(scan_affine)} of {scan_path}"
        raise bad_input(label_path, "a label map lies on the grid of its scan", received, remedy)


class LoadLabeld(MapTransform):
    """Dictionary form of :func:`read_label`, which also compares the grid with the scan's.

    Args:
        keys: keys that hold paths.
        classes: value in the file to class index; None keeps the values.
        image_key: the scan, already loaded by :class:`~bundle.read.LoadScand` and still on its own grid; None skips
            the comparison.
        allow_empty: accept a map without foreground.
    """

    def __init__(
        self,
        keys: KeysCollection,
        classes: Mapping[int, int] | None = None,
        image_key: str | None = "image",
        allow_empty: bool = True,
        allow_missing_keys: bool = False,
    ) -> None:
        super().__init__(keys, allow_missing_keys)
        self.classes = None if classes is None else {int(value): int(index) for value, index in classes.items()}
        self.image_key = image_key
        self.allow_empty = allow_empty

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        d = dict(data)
        for key in self.key_iterator(d):
            label = read_label(d[key], self.classes, self.allow_empty)
            if self.image_key is not None:
                image = d[self.image_key]
                check_same_grid(d[key], _grid(label), image.meta["filename_or_obj"], _grid(image))
            d[key] = label
        return d


_Grid = tuple[Sequence[int], np.ndarray]


def _to_classes(source: Path, values: np.ndarray, classes: Mapping[int, int] | None) -> np.ndarray:
    # the reader gives int16 for every file of integers
    if values.dtype != np.int16 or values.min() < 0 or values.max() > 255:
        received = f"values from {float(values.min()):g} to {float(values.max()):g}, {values.dtype}"
        raise bad_input(
            source,
            "label values are integers from 0 to 255",
            received,
            "Save the label map as unsigned integers, resampled with nearest neighbours.",
        )
    labels = values.astype(np.uint8)
    if classes is None:
        return labels
    counts = np.bincount(labels.ravel(order="K"), minlength=256)
    unknown = [value for value in np.flatnonzero(counts).tolist() if value not in classes]
    if unknown:
        received = ", ".join(f"value {value} in {counts[value]} voxels" for value in unknown[:5])
        known = ", ".join(map(str, sorted(classes)))
        raise bad_input(
            source,
            f"label values are among {known}",
            received,
            'Say what each value is in label_values, for example {"1": "pancreas"}.',
        )
    table = np.zeros(256, dtype=np.uint8)
    for value, index in classes.items():
        if 0 <= value <= 255:
            table[value] = index
    return table[labels]


def _grid(volume: MetaTensor) -> _Grid:
    return tuple(volume.shape[1:]), np.asarray(volume.affine)


def _by(shape: Sequence[int]) -> str:
    return "x".join(str(size) for size in shape)


def _short(affine: np.ndarray) -> str:
    return np.array2string(np.asarray(affine)[:3], precision=3, separator=",", suppress_small=True).replace("\n", "")
