"""The still pictures of a page: slices with the outline, and the gland as a body."""

from __future__ import annotations

import math
from dataclasses import dataclass
from io import BytesIO
from typing import Any

import nibabel as nib
import numpy as np
from monai.data import MetaTensor

from bundle.geometry import spacing_of
from bundle.write.case import as_array, foreground_box
from bundle.write.html.embedding import data_uri
from bundle.write.html.surface import FROM_THE_FEET, FROM_THE_FRONT, Direction, render_gland, render_in_body
from bundle.write.montage import _choose_slices, _draw_slice, _plane

_PLANES = {2: ("Axial", "from the feet"), 1: ("Coronal", "from the back"), 0: ("Sagittal", "from the left")}
_WIDTH_IN, _DPI = 5.0, 144
_QUALITY = 84
MARGIN_MM = 50.0  # shown around the gland
_LETTERS = "#44546a"


@dataclass(frozen=True)
class Picture:
    """An image inside the page.

    Attributes:
        source: its data URI.
        width: pixels.
        height: pixels.
        caption: below it.
        alt: for those who do not see it.
    """

    source: str
    width: int
    height: int
    caption: str
    alt: str


@dataclass(frozen=True)
class Volume:
    """Scan and mask in RAS order, on one grid.

    Attributes:
        voxels: (X, Y, Z) in HU.
        inside: (X, Y, Z) boolean.
        affine: (4, 4), voxel to mm, RAS+.
    """

    voxels: np.ndarray
    inside: np.ndarray
    affine: np.ndarray

    @classmethod
    def of(cls, scan: MetaTensor, mask: MetaTensor) -> Volume:
        """Return scan and mask of the same piece of the patient, in whatever orientations, turned to RAS.

        Raises:
            ValueError: their grids differ.
        """
        voxels, affine = _as_ras(scan)
        inside, _ = _as_ras(mask)
        if voxels.shape != inside.shape:
            raise ValueError(f"scan and mask share one grid, got {voxels.shape} and {inside.shape} in RAS order")
        return cls(voxels, inside > 0, affine)

    @property
    def spacing_mm(self) -> tuple[float, float, float]:
        """Edge lengths of a voxel along X, Y and Z."""
        return spacing_of(self.affine)


def slice_pictures(volume: Volume) -> list[Picture]:
    """Return the slices of the montage one by one: through the mask, or through the middle if it is empty."""
    return [_slice_picture(volume, axis, index) for axis, index in _choose_slices(volume.inside)]


def gland_pictures(volume: Volume) -> list[Picture]:
    """Return the mask's surface from the front and from the feet, and its place in the body; none if it is empty."""
    box = foreground_box(volume.inside)
    if box is None:
        return []
    gland, spacing_mm = volume.inside[box], volume.spacing_mm
    return [
        _body_picture(
            *render_in_body(volume.voxels, volume.inside, spacing_mm),
            FROM_THE_FRONT,
            "In the body, from the front. Grey: whatever is brighter than 200 HU.",
            "The outlined gland among the bones, seen from the front",
        ),
        *(
            _body_picture(
                *render_gland(gland, spacing_mm, direction),
                direction,
                f"Surface of the outline, {direction.words}.",
                f"Surface of the outlined gland, seen {direction.words}",
            )
            for direction in (FROM_THE_FRONT, FROM_THE_FEET)
        ),
    ]


def _as_ras(volume: MetaTensor) -> tuple[np.ndarray, np.ndarray]:
    """Return a view (X, Y, Z) in RAS order, and its affine."""
    affine, array = np.asarray(volume.affine, dtype=float), as_array(volume)
    orientation = nib.io_orientation(affine)
    return nib.apply_orientation(array, orientation), affine @ nib.orientations.inv_ornt_aff(orientation, array.shape)


def _slice_picture(volume: Volume, axis: int, index: int) -> Picture:
    around = _surroundings(volume)
    shown = tuple(slice(index, index + 1) if a == axis else around[a] for a in range(3))
    picture, mask = (_plane(array[shown], axis, 0) for array in (volume.voxels, volume.inside))
    column_mm, row_mm = (volume.spacing_mm[other] for other in range(3) if other != axis)
    figure, axes = _figure(picture.shape[1] * column_mm, picture.shape[0] * row_mm, "black")
    _draw_slice(axes, picture, mask, np.array(volume.spacing_mm), axis)
    plane, side = _PLANES[axis]
    number, count = index + 1, volume.voxels.shape[axis]
    caption = f"{plane}, slice {number} of {count} {side}"
    content = "the outline of the pancreas in yellow" if mask.any() else "nothing outlined"
    return _saved(figure, f"{caption}.", f"{plane} CT slice {number} of {count}, {content}", "jpeg")


def _surroundings(volume: Volume) -> tuple[slice, slice, slice]:
    """Return the box of the mask with a margin inside the scan; all of the scan if the mask is empty."""
    box = foreground_box(volume.inside) or tuple(slice(0, n) for n in volume.inside.shape)
    margins = [math.ceil(MARGIN_MM / mm) for mm in volume.spacing_mm]
    x, y, z = (
        slice(max(0, s.start - m), min(n, s.stop + m)) for s, m, n in zip(box, margins, volume.inside.shape)
    )
    return x, y, z


def _body_picture(picture: np.ndarray, pixel_mm: float, direction: Direction, caption: str, alt: str) -> Picture:
    rows, columns = picture.shape[:2]
    border = max(14, round(0.1 * columns))
    height, width = rows + 2 * border, columns + 2 * border
    figure, axes = _figure(width, height, "white")
    axes.imshow(picture, extent=(border, border + columns, border + rows, border), interpolation="bicubic")
    axes.set(xlim=(0, width), ylim=(height, 0))
    bar_mm = 20 if columns * pixel_mm < 250 else 100
    right, low = width - border * 0.3, height - border * 0.5
    left = right - bar_mm / pixel_mm
    axes.plot([left, right], [low, low], color=_LETTERS, linewidth=2, solid_capstyle="butt")
    axes.text(left - border * 0.15, low, f"{bar_mm} mm", color=_LETTERS, ha="right", va="center", fontsize=10)
    places = ((border / 2, height / 2), (width - border / 2, height / 2), (width / 2, border / 2))
    for letter, (x, y) in zip(direction.edges, (*places, (width / 2, height - border / 2)), strict=True):
        axes.text(x, y, letter, color=_LETTERS, ha="center", va="center", fontsize=11)
    return _saved(figure, caption, alt, "png")


def _figure(width: float, height: float, colour: str) -> tuple[Any, Any]:
    """Return a figure of fixed width and these proportions, at most twice as high as wide, filled by its axes."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(_WIDTH_IN, _WIDTH_IN * min(max(height / width, 0.2), 2)), dpi=_DPI, facecolor=colour)
    FigureCanvasAgg(figure)
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set_axis_off()
    return figure, axes


def _saved(figure: Any, caption: str, alt: str, kind: str) -> Picture:
    buffer = BytesIO()
    options = {"pil_kwargs": {"quality": _QUALITY, "optimize": True}} if kind == "jpeg" else {}
    figure.savefig(buffer, format=kind, facecolor=figure.get_facecolor(), **options)
    width, height = (round(inches * _DPI) for inches in figure.get_size_inches())
    return Picture(data_uri(buffer.getvalue(), f"image/{kind}"), width, height, caption, alt)
