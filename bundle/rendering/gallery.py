"""The page of rendered next to real slices in docs/rendered_ct.md: ``python -m bundle.rendering.gallery``.

Real slices: AMOS22 case 0013 (CC BY 4.0) and NIH Pancreas-CT (CC BY 3.0), downscaled; no other real scan is shown.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import nibabel as nib
import numpy as np
import typer
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.image import imread
from scipy import ndimage
from skimage.transform import resize

from bundle.files import replacing
from bundle.rendering.anatomy import list_anatomies, read_anatomy
from bundle.rendering.renderer import render_scan
from bundle.rendering.scanner import ScannerSettings
from bundle.rendering.tissues import Tissue

NIH_SLICES = (
    "PANCREAS_0004-1113",
    "PANCREAS_0014-1150",
    "PANCREAS_0036-1052",
)
PAGE = Path("docs/images/rendered_vs_real.png")
TILE_PIXELS = 230
GAP_PIXELS = 4
COLUMNS = 4


def make_gallery(
    data: Annotated[Path, typer.Option(help="Folder with ct/amos_0013_slab.nii.gz and nih_slices/images.")],
    anatomy: Annotated[Path, typer.Option(help="Folder of anatomies.")],
    output: Annotated[Path, typer.Option(help="PNG.")] = PAGE,
    first_seed: Annotated[int, typer.Option(help="Of four rendered tiles.")] = 1,
    shuffle: Annotated[int, typer.Option(help="Seed of the order of tiles.")] = 0,
) -> None:
    """Write the page and print which tile is what."""
    tiles = [(f"real: NIH Pancreas-CT {name}", _nih_tile(data, name)) for name in NIH_SLICES]
    tiles.append(("real: AMOS22 case 0013", _amos_tile(data)))
    paths = list_anatomies(anatomy)
    for seed in range(first_seed, first_seed + 4):
        tiles.append((f"rendered: seed {seed}", _rendered_tile(paths[seed % len(paths)], seed)))
    order = np.random.default_rng(shuffle).permutation(len(tiles))
    _write_page([tiles[i][1] for i in order], output)
    for letter, i in zip("ABCDEFGHIJKLMNOPQRSTUVWXYZ", order, strict=False):
        typer.echo(f"{letter} {tiles[i][0]}")


def _nih_tile(data: Path, name: str) -> np.ndarray:
    stored = np.atleast_3d(imread(data / "nih_slices" / "images" / f"{name}.jpg"))[..., 0]
    return _tile(stored[::-1].astype(float) / 255)  # stored with the table at the top; the window is unknown


def _amos_tile(data: Path) -> np.ndarray:
    scan = nib.as_closest_canonical(nib.load(data / "ct" / "amos_0013_slab.nii.gz"))
    return _tile(_window(_upright(scan.get_fdata()[:, :, 5]), (-160, 240)))


def _rendered_tile(path: Path, seed: int) -> np.ndarray:
    """The slice with most pancreas."""
    settings = ScannerSettings(slice_thickness_mm=(1.0, 5.0), share_slab=0.0, share_metal=0.0, orientations=("RAS",))
    scan = render_scan(read_anatomy(path), seed, settings)
    index = int((scan.label == Tissue.PANCREAS).sum((0, 1)).argmax())
    window = ((-160, 240), (-100, 250), (-60, 300))[seed % 3]
    return _tile(_window(_upright(scan.image_hu[:, :, index]), window))


def _upright(plane: np.ndarray) -> np.ndarray:
    """(X, Y) in RAS to rows and columns as displayed: front up, the patient's right at the left."""
    return plane[::-1, ::-1].T


def _window(hu: np.ndarray, limits: tuple[float, float]) -> np.ndarray:
    return np.clip((hu - limits[0]) / (limits[1] - limits[0]), 0, 1)


def _tile(grey: np.ndarray) -> np.ndarray:
    """Square cut around the body, downscaled; grey values from 0 to 1."""
    solid = ndimage.binary_closing(ndimage.binary_opening(grey > 0.03, iterations=2), iterations=8)
    parts, _ = ndimage.label(solid)
    largest = 1 + int(np.bincount(parts.ravel())[1:].argmax())
    rows, columns = ndimage.find_objects((parts == largest).astype(int))[0]
    half = int(0.56 * max(rows.stop - rows.start, columns.stop - columns.start))
    padded = np.pad(grey, half)
    row, column = (rows.start + rows.stop) // 2 + half, (columns.start + columns.stop) // 2 + half
    cut = padded[row - half : row + half, column - half : column + half]
    return resize(cut, (TILE_PIXELS, TILE_PIXELS), order=3, anti_aliasing=True).clip(0, 1)


def _write_page(tiles: Sequence[np.ndarray], path: Path) -> None:
    """Tiles in rows, each with its letter, as PNG."""
    pitch = TILE_PIXELS + GAP_PIXELS
    rows = -(-len(tiles) // COLUMNS)
    page = np.full((rows * pitch, COLUMNS * pitch), 0.35)
    figure = Figure(figsize=(COLUMNS * pitch / 100, rows * pitch / 100), dpi=100)
    FigureCanvasAgg(figure)
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set_axis_off()
    for i, tile in enumerate(tiles):
        top, left = i // COLUMNS * pitch + GAP_PIXELS // 2, i % COLUMNS * pitch + GAP_PIXELS // 2
        page[top : top + TILE_PIXELS, left : left + TILE_PIXELS] = tile
        axes.text(left + 6, top + 4, chr(ord("A") + i), color="white", va="top")
    axes.imshow(page, cmap="gray", vmin=0, vmax=1, interpolation="nearest", aspect="auto")
    with replacing(path) as temporary:
        figure.savefig(temporary)


if __name__ == "__main__":
    typer.run(make_gallery)
