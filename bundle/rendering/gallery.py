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
from PIL import Image, ImageDraw
from scipy import ndimage

from bundle.rendering.anatomy import list_anatomies, read_anatomy
from bundle.rendering.renderer import render_scan
from bundle.rendering.scanner import ScannerSettings
from bundle.rendering.tissues import CLASSES

NIH_SLICES = (
    "PANCREAS_0004-1113",
    "PANCREAS_0014-1150",
    "PANCREAS_0036-1052",
)
PAGE = Path("docs/images/rendered_vs_real.png")
TILE_PIXELS = 230
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
    output.parent.mkdir(parents=True, exist_ok=True)
    _page([tiles[i][1] for i in order]).save(output, optimize=True)
    for letter, i in zip("ABCDEFGHIJKLMNOPQRSTUVWXYZ", order, strict=False):
        typer.echo(f"{letter} {tiles[i][0]}")


def _nih_tile(data: Path, name: str) -> Image.Image:
    stored = np.asarray(Image.open(data / "nih_slices" / "images" / f"{name}.jpg").convert("L"))
    return _tile(stored[::-1].astype(float) / 255)  # stored with the table at the top; the window is unknown


def _amos_tile(data: Path) -> Image.Image:
    scan = nib.as_closest_canonical(nib.load(data / "ct" / "amos_0013_slab.nii.gz"))
    return _tile(_window(_upright(scan.get_fdata()[:, :, 5]), (-160, 240)))


def _rendered_tile(path: Path, seed: int) -> Image.Image:
    """The slice with most pancreas."""
    settings = ScannerSettings(slice_thickness_mm=(1.0, 5.0), share_slab=0.0, share_metal=0.0, orientations=("RAS",))
    scan = render_scan(read_anatomy(path), seed, settings)
    index = int((scan.label == CLASSES.index("pancreas")).sum((0, 1)).argmax())
    window = ((-160, 240), (-100, 250), (-60, 300))[seed % 3]
    return _tile(_window(_upright(scan.image_hu[:, :, index]), window))


def _upright(plane: np.ndarray) -> np.ndarray:
    """(X, Y) in RAS to rows and columns as displayed: front up, the patient's right at the left."""
    return plane[::-1, ::-1].T


def _window(hu: np.ndarray, limits: tuple[float, float]) -> np.ndarray:
    return np.clip((hu - limits[0]) / (limits[1] - limits[0]), 0, 1)


def _tile(grey: np.ndarray) -> Image.Image:
    """Square cut around the body, downscaled."""
    solid = ndimage.binary_closing(ndimage.binary_opening(grey > 0.03, iterations=2), iterations=8)
    parts, _ = ndimage.label(solid)
    largest = 1 + int(np.bincount(parts.ravel())[1:].argmax())
    rows, columns = ndimage.find_objects((parts == largest).astype(int))[0]
    half = int(0.56 * max(rows.stop - rows.start, columns.stop - columns.start))
    padded = np.pad(grey, half)
    row, column = (rows.start + rows.stop) // 2 + half, (columns.start + columns.stop) // 2 + half
    cut = padded[row - half : row + half, column - half : column + half]
    return Image.fromarray((255 * cut).astype(np.uint8)).resize((TILE_PIXELS, TILE_PIXELS), Image.Resampling.LANCZOS)


def _page(tiles: Sequence[Image.Image]) -> Image.Image:
    rows = -(-len(tiles) // COLUMNS)
    page = Image.new("L", (COLUMNS * (TILE_PIXELS + 4), rows * (TILE_PIXELS + 4)), 90)
    for i, tile in enumerate(tiles):
        ImageDraw.Draw(tile).text((6, 4), chr(ord("A") + i), fill=255)
        page.paste(tile, (2 + i % COLUMNS * (TILE_PIXELS + 4), 2 + i // COLUMNS * (TILE_PIXELS + 4)))
    return page


if __name__ == "__main__":
    typer.run(make_gallery)
