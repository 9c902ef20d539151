"""A picture of the mask over the scan: four axial slices, one coronal and one sagittal."""

from __future__ import annotations

import os
from collections.abc import Hashable
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
from monai.data import MetaTensor

from bundle.files import replacing
from bundle.geometry import spacing_of
from bundle.write.case import as_array, case_of, foreground_box, volume_ml
from bundle.write.saver import IMAGE_KEY, Saver

FILE_NAME = "overlay.png"

# Abdominal soft-tissue window: centre 40 HU, width 400 HU.
WINDOW_HU = (-160, 240)

_AXIAL, _CORONAL, _SAGITTAL = 2, 1, 0
_EDGES = {_AXIAL: "RLAP", _CORONAL: "RLSI", _SAGITTAL: "APSI"}  # left, right, top, bottom of the picture
_AXIAL_SHARES = (0.125, 0.375, 0.625, 0.875)  # of the mask's height
_CONTOUR = "#ffd400"


def draw_montage(scan: MetaTensor, mask: MetaTensor, path: str | os.PathLike[str], title: str = "") -> None:
    """Write a PNG of slices through the mask, or through the middle of the scan if the mask is empty.

    Radiological convention: the patient's right is on the left of axial and coronal slices, the front on the left of
    the sagittal one. Pixels are drawn at their size in millimetres.

    Args:
        scan: (1, X, Y, Z) in HU; any orientation, which may differ from the mask's.
        mask: (1, X, Y, Z) of the same piece of the patient and the same spacing.
        path: of the PNG file.
        title: above the picture.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    voxels, spacing_mm = _as_ras(scan)
    inside, _ = _as_ras(mask)
    if voxels.shape != inside.shape:
        raise ValueError(f"scan and mask share one grid, got {voxels.shape} and {inside.shape} in RAS order")
    figure = Figure(figsize=(12, 8.4), dpi=100, facecolor="black")
    FigureCanvasAgg(figure)
    for panel, (axis, index) in enumerate(_choose_slices(inside)):
        axes = figure.add_axes((panel % 3 / 3, 0.475 - panel // 3 * 0.475, 0.33, 0.465))
        _draw_slice(axes, _plane(voxels, axis, index), _plane(inside, axis, index) > 0, spacing_mm, axis)
    figure.text(0.01, 0.985, title, color="white", fontsize=13, va="top")
    with replacing(path) as temporary:
        figure.savefig(temporary, facecolor="black")


class SaveMontaged(Saver):
    """Write ``<output_dir>/<case>/overlay.png`` with :func:`draw_montage`."""

    file_name = FILE_NAME
    stage = "picture"

    def write(self, data: dict[Hashable, Any], volume: MetaTensor, path: Path) -> None:
        """Draw the picture."""
        millilitres = volume_ml(volume)
        found = f"pancreas {millilitres:.1f} ml" if millilitres else "pancreas not found"
        draw_montage(data[IMAGE_KEY], volume, path, f"{case_of(data, volume)}: {found}. For research.")


def _as_ras(volume: MetaTensor) -> tuple[np.ndarray, np.ndarray]:
    """Return (X, Y, Z) in RAS order, a view, and its spacing in mm."""
    affine = np.asarray(volume.affine, dtype=float)
    orientation = nib.io_orientation(affine)
    array = nib.apply_orientation(as_array(volume), orientation)
    return array, np.take(spacing_of(affine), np.argsort(orientation[:, 0]))


def _choose_slices(inside: np.ndarray) -> list[tuple[int, int]]:
    """Return (axis, index) of each panel, the axial ones from head to feet."""
    box = foreground_box(inside)
    if box is None:
        height = slice(0, inside.shape[_AXIAL])
        coronal, sagittal = inside.shape[_CORONAL] // 2, inside.shape[_SAGITTAL] // 2
    else:
        height = box[_AXIAL]
        areas = [np.count_nonzero(inside[box], axis=others) for others in ((1, 2), (0, 2))]
        sagittal, coronal = (box[axis].start + int(areas[axis].argmax()) for axis in (_SAGITTAL, _CORONAL))
    axial = [height.start + round(share * (height.stop - 1 - height.start)) for share in reversed(_AXIAL_SHARES)]
    panels = [(_AXIAL, index) for index in axial]
    return [*panels[:2], (_CORONAL, coronal), *panels[2:], (_SAGITTAL, sagittal)]


def _plane(volume: np.ndarray, axis: int, index: int) -> np.ndarray:
    """Return the slice as a picture: right, front and head come first, as (rows, columns)."""
    position = tuple(index if a == axis else slice(None, None, -1) for a in range(3))
    return volume[position].T


def _draw_slice(axes: Any, picture: np.ndarray, mask: np.ndarray, spacing_mm: np.ndarray, axis: int) -> None:
    column_mm, row_mm = (spacing_mm[other] for other in range(3) if other != axis)
    rows, columns = picture.shape
    axes.imshow(
        picture,
        cmap="gray",
        vmin=WINDOW_HU[0],
        vmax=WINDOW_HU[1],
        extent=(0, columns * column_mm, rows * row_mm, 0),
        interpolation="bilinear",
        aspect="equal",
    )
    if mask.any() and not mask.all():
        x_mm, y_mm = (np.arange(columns) + 0.5) * column_mm, (np.arange(rows) + 0.5) * row_mm
        axes.contour(x_mm, y_mm, mask, levels=[0.5], colors=[_CONTOUR], linewidths=1.2)
    axes.set_axis_off()
    places = {"left": (0.01, 0.5), "right": (0.99, 0.5), "center_top": (0.5, 0.99), "center_bottom": (0.5, 0.01)}
    for letter, (side, (x, y)) in zip(_EDGES[axis], places.items(), strict=True):
        vertical = {"center_top": "top", "center_bottom": "bottom"}.get(side, "center")
        axes.text(
            x, y, letter, transform=axes.transAxes, color="#9cdcfe", fontsize=10, ha=side.split("_")[0], va=vertical
        )
