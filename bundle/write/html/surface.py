"""The gland as a body in space: pictures by casting parallel rays, without graphics card or window, and a mesh."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from bundle.geometry import spacing_of

# Bone, and whatever is as bright as bone: contrast agent in vessels, kidneys and gut, metal.
BRIGHT_HU = 200
BODY_HU = -300

_WHITE = np.array([1.0, 1.0, 1.0], dtype=np.float32)
_GLAND = np.array([0.93, 0.66, 0.22], dtype=np.float32)
_BONE = np.array([0.86, 0.85, 0.82], dtype=np.float32)
_SKIN = np.array([0.80, 0.84, 0.88], dtype=np.float32)

_PAD = 3  # voxels around the mask, so that its surface is closed
_MAX_VOXELS = 4_000_000
_LIGHT = np.array([-0.45, 0.55, 0.70])  # from the viewer's upper left; (right, up, towards the viewer)


@dataclass(frozen=True)
class Direction:
    """Where one looks from, as axes of an array in RAS order.

    Attributes:
        words: for the reader.
        view_axis: along which the rays go.
        reverse: the axes to turn around, so that right, up and towards the viewer come first.
        edges: letters for the left, right, top and bottom of the picture.
    """

    words: str
    view_axis: int
    reverse: tuple[int, ...]
    edges: str


# As slices are shown: the patient's right is on the left of the picture.
FROM_THE_FRONT = Direction("from the front", 1, (0, 1, 2), "RLSI")
FROM_THE_FEET = Direction("from the feet, as axial slices are shown", 2, (0, 1), "RLAP")


def render_gland(inside: np.ndarray, spacing_mm: Sequence[float], direction: Direction) -> tuple[np.ndarray, float]:
    """Return a picture of the mask's surface, (rows, columns, 3) of 0 to 1 on white, and the mm of a pixel.

    The surface is smoothed over a slice's thickness, keeping the volume.

    Args:
        inside: (X, Y, Z) boolean in RAS order, with at least one voxel.
        spacing_mm: of its voxels.
        direction: where to look from.
    """
    step_mm = _step(inside.shape, spacing_mm, 0.6)
    level = _smoothed(np.pad(inside, _PAD), spacing_mm, step_mm)
    shade, depth_mm = _cast(_turned(level, direction), step_mm)
    seen = np.isfinite(depth_mm)
    picture = np.where(seen[..., None], shade[..., None] * _GLAND, _WHITE)
    return _softened(picture, seen), step_mm


def render_in_body(
    voxels: np.ndarray, inside: np.ndarray, spacing_mm: Sequence[float], direction: Direction = FROM_THE_FRONT
) -> tuple[np.ndarray, float]:
    """Return a picture of the mask among what is brighter than 200 HU, as :func:`render_gland` does.

    Args:
        voxels: (X, Y, Z) in HU, in RAS order.
        inside: (X, Y, Z) boolean, on the same grid; may be empty.
        spacing_mm: of both.
        direction: where to look from.
    """
    step_mm = _step(voxels.shape, spacing_mm, 1.5)
    scan = _turned(_resampled(voxels, spacing_mm, step_mm), direction)
    shade, depth_mm = _cast((ndimage.gaussian_filter(scan, 0.6) - BRIGHT_HU) / 400 + 0.5, step_mm)
    body_mm = (scan > BODY_HU).sum(axis=2) * step_mm
    fog = (0.75 * (1 - np.exp(-body_mm / 150)))[..., None]
    picture = (1 - fog) * _WHITE + fog * _SKIN
    near = np.clip(1.15 - depth_mm / max(float(body_mm.max()), 1.0) * 0.5, 0.5, 1.0)
    seen = np.isfinite(depth_mm)
    picture = np.where(seen[..., None], (np.where(seen, near, 1) * shade)[..., None] * _BONE, picture)
    if inside.any():
        gland = _turned(_resampled(inside, spacing_mm, step_mm), direction)
        shade, gland_mm = _cast(ndimage.gaussian_filter(gland, 0.8), step_mm)
        hit = np.isfinite(gland_mm)
        # behind a rib it still shows through
        share = np.where(hit, np.where(gland_mm <= depth_mm, 1.0, 0.6), 0.0)[..., None]
        picture = (1 - share) * picture + share * shade[..., None] * _GLAND
    return np.clip(ndimage.gaussian_filter(picture, (0.4, 0.4, 0)), 0, 1), step_mm


def surface_mesh(inside: np.ndarray, affine: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the mask's smoothed surface: vertices (n, 3) in mm, RAS+, and triangles (m, 3) of their indices.

    Seen from outside, the corners of a triangle run counter-clockwise.

    Args:
        inside: (X, Y, Z) boolean with at least one voxel.
        affine: (4, 4), voxel to mm, RAS+.
    """
    from skimage.measure import marching_cubes

    spacing_mm, padded = spacing_of(affine), np.pad(inside, _PAD)
    level = _smoothed(padded, spacing_mm, _step(padded.shape, spacing_mm, 1.0))
    cubes, triangles, _, _ = marching_cubes(level, 0.5)
    # outer edges of both grids coincide
    voxels = (cubes + 0.5) * (np.array(padded.shape) / level.shape) - 0.5 - _PAD
    turned = triangles if np.linalg.det(affine[:3, :3]) < 0 else triangles[:, ::-1]  # so that they face outwards
    return voxels @ affine[:3, :3].T + affine[:3, 3], turned


def _step(shape: Sequence[int], spacing_mm: Sequence[float], finest_mm: float) -> float:
    """Return the edge of the cubes to resample to: ``finest_mm``, or as coarse as the limit of voxels demands."""
    volume_mm3 = float(np.prod([n * mm for n, mm in zip(shape, spacing_mm)]))
    return max(finest_mm, (volume_mm3 / _MAX_VOXELS) ** (1 / 3))


def _resampled(array: np.ndarray, spacing_mm: Sequence[float], step_mm: float) -> np.ndarray:
    factors = [mm / step_mm for mm in spacing_mm]
    # thin what would be skipped anyway, which is most of a large scan
    thinned = array[tuple(slice(None, None, max(1, int(1 / factor))) for factor in factors)]
    left = [max(1, round(n * f)) / m for n, f, m in zip(array.shape, factors, thinned.shape)]
    return ndimage.zoom(thinned.astype(np.float32), left, order=1, mode="nearest", grid_mode=True)


def _smoothed(inside: np.ndarray, spacing_mm: Sequence[float], step_mm: float) -> np.ndarray:
    """Return the mask on cubes, smoothed, and scaled such that 0.5 encloses the mask's volume."""
    cubes = _resampled(inside, spacing_mm, step_mm)
    smooth = ndimage.gaussian_filter(cubes, [max(1.0, 0.75 * mm) / step_mm for mm in spacing_mm])
    count = int(min(max(cubes.sum(), 1), smooth.size - 1))
    level = np.partition(smooth.ravel(), smooth.size - count)[smooth.size - count]
    return smooth * (0.5 / max(float(level), 1e-6))


def _turned(array: np.ndarray, direction: Direction) -> np.ndarray:
    """Return (rows, columns, depth): rows from the top, columns from the left, depth away from the viewer."""
    rest = [axis for axis in range(3) if axis != direction.view_axis]
    order = (rest[1], rest[0], direction.view_axis)
    flipped = np.flip(array, direction.reverse) if direction.reverse else array
    return np.ascontiguousarray(flipped.transpose(order))


def _cast(level: np.ndarray, step_mm: float) -> tuple[np.ndarray, np.ndarray]:
    """Return brightness and depth in mm, both (rows, columns), of where a ray first meets ``level`` 0.5.

    Depth is infinite, and brightness 0, where a ray meets nothing.
    """
    hit = level > 0.5
    first = hit.argmax(axis=2)
    seen = np.take_along_axis(hit, first[..., None], axis=2)[..., 0]
    rows, columns = np.nonzero(seen)
    last = first[rows, columns]
    after, before = level[rows, columns, last], level[rows, columns, np.maximum(last - 1, 0)]
    exact = last - np.clip((after - 0.5) / np.maximum(after - before, 1e-6), 0, 1) * (last > 0)
    normal = _normals(level, rows, columns, exact)
    light = _LIGHT / np.linalg.norm(_LIGHT)
    # columns run to the right, rows down, depth away from the viewer
    diffuse = np.clip(normal[1] * light[0] - normal[0] * light[1] - normal[2] * light[2], 0, 1)
    facing = np.clip(-normal[2], 0, 1)
    halfway = light + np.array([0.0, 0.0, 1.0])
    halfway /= np.linalg.norm(halfway)
    glance = np.clip(normal[1] * halfway[0] - normal[0] * halfway[1] - normal[2] * halfway[2], 0, 1) ** 24
    depth_mm = np.full(seen.shape, np.inf)
    depth_mm[rows, columns] = exact * step_mm
    brightness = np.zeros(seen.shape, dtype=np.float32)
    matt = (0.30 + 0.22 * facing + 0.55 * diffuse) * _openness(depth_mm)[rows, columns]
    brightness[rows, columns] = matt + 0.12 * glance
    return np.clip(brightness, 0, 1), depth_mm


def _normals(level: np.ndarray, rows: np.ndarray, columns: np.ndarray, depth: np.ndarray) -> np.ndarray:
    """Return unit vectors out of the surface, (3, hits) along rows, columns and depth."""
    points = np.stack([rows, columns, depth]).astype(np.float32)
    gradient = []
    for axis in range(3):
        ahead, behind = points.copy(), points.copy()
        ahead[axis] += 1
        behind[axis] -= 1
        gradient.append(
            ndimage.map_coordinates(level, behind, order=1, mode="nearest")
            - ndimage.map_coordinates(level, ahead, order=1, mode="nearest")
        )
    normal = np.stack(gradient)
    return normal / np.maximum(np.linalg.norm(normal, axis=0), 1e-6)


def _openness(depth_mm: np.ndarray) -> np.ndarray:
    """Return less than 1 where the surroundings are nearer to the viewer: hollows are darker."""
    seen = np.isfinite(depth_mm)
    if not seen.any():
        return np.ones(depth_mm.shape)
    filled = np.where(seen, depth_mm, depth_mm[seen].max())
    shadow = np.zeros(depth_mm.shape)
    for width in (4.0, 12.0):
        shadow += np.clip(filled - ndimage.gaussian_filter(filled, width), 0, 15) / 15
    return 1 - 0.35 * np.clip(shadow, 0, 1)


def _softened(picture: np.ndarray, seen: np.ndarray) -> np.ndarray:
    """Return the picture with the outline's steps smoothed away."""
    share = ndimage.gaussian_filter(seen.astype(np.float32), 0.7)[..., None]
    colour = ndimage.gaussian_filter(np.where(seen[..., None], picture, 0), (0.7, 0.7, 0)) / np.maximum(share, 1e-3)
    return np.clip(share * np.where(seen[..., None], picture, colour) + (1 - share) * _WHITE, 0, 1)
