"""The gland's centre-line, its length and its calibre."""

from __future__ import annotations

from dataclasses import dataclass

import cc3d
import numpy as np
from scipy import ndimage, sparse
from scipy.sparse.csgraph import dijkstra
from scipy.spatial import KDTree
from skimage.morphology import skeletonize

from bundle.measure.isotropic import Field, signed_distance

STEP_MM = 1.0
SMOOTHING_MM = 4.0
LARGEST_ML = 500.0
"""More than any gland: what has more is seen on a coarser grid, so that a mask gone astray doesn't take minutes."""

_END = 1.5  # what is cut off a skeleton's end, in depths: just more than a branch into the edge of a blunt end
_SLACK_MM = 2.0
_FIT_MM = 15.0
_RAY_STEP_MM = 0.25


@dataclass(frozen=True)
class CentreLine:
    """A line through the gland from end to end.

    Attributes:
        points_mm: (N, 3), RAS+, at even distances; the outer two on the surface.
        calibre_mm: (N,) diameter of the circle with the area of the gland's section across the line.
    """

    points_mm: np.ndarray
    calibre_mm: np.ndarray

    @property
    def length_mm(self) -> float:
        """Length of the line."""
        return float(_along(self.points_mm)[-1])

    @property
    def mean_calibre_mm(self) -> float:
        """Mean calibre without the first and the last tenth of the length, where the gland ends."""
        return float(self._calibre_between_ends_mm.mean())

    @property
    def max_calibre_mm(self) -> float:
        """Largest calibre without the first and the last tenth."""
        return float(self._calibre_between_ends_mm.max())

    @property
    def _calibre_between_ends_mm(self) -> np.ndarray:
        tenth = len(self.calibre_mm) // 10
        return self.calibre_mm[tenth : len(self.calibre_mm) - tenth]


def centre_line(inside: np.ndarray, affine: np.ndarray) -> CentreLine:
    """Return the centre-line of the largest 26-connected piece of ``inside`` (X, Y, Z), boolean and not empty.

    Its holes are filled, and it is brought onto an isotropic grid of :data:`STEP_MM` along the patient's axes
    (:func:`~bundle.measure.isotropic.signed_distance`), coarser beyond :data:`LARGEST_ML`. There its skeleton (Lee
    1994, CVGIP: Graphical Models and Image Processing 56(6)) is a graph of voxels; the longest of the shortest paths
    between them is the line, whatever branches off. A Gaussian of :data:`SMOOTHING_MM` takes off the steps of the
    voxels. A skeleton's ends are arbitrary: they run into corners or stop short of the surface. So an end goes as far
    as its points are nearer to it than 1.5 times their depth and 2 mm, and the line goes on to the surface as bent as
    it was.

    A body so round that less is left than its depth gets the straight line through its deepest point along its longest
    axis.

    The section across the line at a point is the volume that is nearer to it than to all others, over the length of
    line that it stands for, smoothed along the line. Unlike the largest ball inside, it does not depend on how fine the
    voxels are, and the sections make up the volume.
    """
    piece = _largest_piece(inside)
    volume_mm3 = np.count_nonzero(piece) * abs(float(np.linalg.det(affine[:3, :3])))
    coarser = max(1.0, volume_mm3 / (1000 * LARGEST_ML)) ** (1 / 3)
    field = signed_distance(piece, affine, STEP_MM * coarser)
    body = _largest_piece(field.values > 0)
    path = _line(field.to_mm(_longest_path(body, field)))
    depth = field.at(path)
    middle = slice(_without_end(path, depth), len(path) - _without_end(path[::-1], depth[::-1]))
    path, depth = path[middle], depth[middle]
    if len(path) > 1 and _along(path)[-1] > depth.max():
        ways = [_way_on(path, depth[0]), _way_on(path[::-1], depth[-1])]
    else:
        path = field.to_mm(np.argwhere(field.values == field.values[body].max())[:1])
        axis = _longest_axis(np.argwhere(body))
        ways = [np.stack([-axis, 0 * axis]), np.stack([axis, 0 * axis])]
    low, high = (_to_surface(field, end, way) for end, way in zip(path[[0, -1]], ways))
    points = _evenly(np.vstack([low[::-1], path, high]))
    return CentreLine(points, _calibre_mm(points, field.to_mm(np.argwhere(body)), volume_mm3))


def _calibre_mm(points_mm: np.ndarray, body_mm: np.ndarray, volume_mm3: float) -> np.ndarray:
    """Return the calibre at each of (N, 3) points at even distances on a line through a body.

    The body is given by the centres (M, 3) of its voxels, all of the same size, and its volume.
    """
    distance_mm = _along(points_mm)[-1] / (len(points_mm) - 1)
    (near_mm, far_mm), (near, far) = (found.T for found in KDTree(points_mm).query(body_mm, k=2))
    # A voxel counts for the two points that it lies between: whole voxels and points would beat against each other.
    share = np.clip((1 + (near_mm**2 - far_mm**2) / distance_mm**2) / 2, 0, 1)
    voxels = np.bincount(near, 1 - share, len(points_mm)) + np.bincount(far, share, len(points_mm))
    volumes_mm3 = voxels * (volume_mm3 / len(body_mm))
    lengths_mm = np.full(len(points_mm), distance_mm)
    lengths_mm[[0, -1]] /= 2
    return 2 * np.sqrt(_smooth(volumes_mm3, distance_mm) / _smooth(lengths_mm, distance_mm) / np.pi)


def _largest_piece(inside: np.ndarray) -> np.ndarray:
    pieces = cc3d.connected_components(inside.astype(np.uint8), connectivity=26)
    sizes = np.bincount(pieces.ravel())
    return ndimage.binary_fill_holes(pieces == 1 + sizes[1:].argmax())


def _longest_path(body: np.ndarray, field: Field) -> np.ndarray:
    """Return the voxels (N, 3) of the longest of all shortest paths through the skeleton of ``body``, in order."""
    line = skeletonize(body, method="lee") > 0
    if not line.any():  # bodies of even thickness may vanish: https://github.com/scikit-image/scikit-image/issues/3757
        line = body & (field.values == field.values[body].max())
    voxels = np.argwhere(line)
    pairs = KDTree(voxels).query_pairs(1.8, output_type="ndarray")
    lengths = np.linalg.norm(voxels[pairs[:, 0]] - voxels[pairs[:, 1]], axis=1)
    graph = sparse.csr_array((lengths, pairs.T), shape=(len(voxels), len(voxels)))
    # What is farthest from any voxel is one end of the longest path; exact without loops, and cheap with any number.
    start = _farthest(dijkstra(graph, directed=False, indices=0))
    distance, before = dijkstra(graph, directed=False, indices=start, return_predecessors=True)
    path = [_farthest(distance)]
    while path[-1] != start:
        path.append(int(before[path[-1]]))
    return voxels[path]


def _farthest(distance: np.ndarray) -> int:
    return int(np.where(np.isfinite(distance), distance, -1).argmax())


def _line(voxels_mm: np.ndarray) -> np.ndarray:
    """Return the line along the voxels (N, 3) without their steps, at even distances."""
    # Even distances first: neighbours along an edge are nearer than across a corner.
    return _evenly(_smooth(_evenly(voxels_mm), STEP_MM, mode="nearest"))


def _smooth(values: np.ndarray, distance_mm: float, mode: str = "constant") -> np.ndarray:
    return ndimage.gaussian_filter1d(values, SMOOTHING_MM / distance_mm, axis=0, mode=mode)


def _evenly(points_mm: np.ndarray) -> np.ndarray:
    """Return points on the line through those given, at even distances of about :data:`STEP_MM`."""
    along = _along(points_mm)
    wanted = np.linspace(0, along[-1], max(round(along[-1] / STEP_MM), 1) + 1)
    return np.stack([np.interp(wanted, along, axis) for axis in points_mm.T], axis=1)


def _along(points_mm: np.ndarray) -> np.ndarray:
    return np.concatenate([[0], np.cumsum(np.linalg.norm(np.diff(points_mm, axis=0), axis=1))])


def _without_end(path_mm: np.ndarray, depth_mm: np.ndarray) -> int:
    """Return the index of the last point before the first one whose distance from the start is out of its reach."""
    beyond = _along(path_mm) > _END * np.maximum(depth_mm, 0) + _SLACK_MM
    return int(beyond.argmax()) - 1 if beyond.any() else len(path_mm) - 1


def _way_on(path_mm: np.ndarray, depth_mm: float) -> np.ndarray:
    """Return direction and bend (2, 3) of the parabola that continues a line beyond its first point.

    It is fitted to the line over twice the depth of that point, which is about as far as it will go, and at least over
    :data:`_FIT_MM`: a shorter line says little of how it bends, and counts as straight.
    """
    back_mm = _along(path_mm)
    near = back_mm <= max(2 * depth_mm, _FIT_MM)
    bends = back_mm[-1] >= _FIT_MM
    terms = np.stack([-back_mm[near], bends * back_mm[near] ** 2], axis=1)
    return np.linalg.lstsq(terms, path_mm[near] - path_mm[0], rcond=None)[0]


def _longest_axis(voxels: np.ndarray) -> np.ndarray:
    if len(voxels) < 2:
        return np.array([1.0, 0.0, 0.0])
    return np.linalg.eigh(np.cov(voxels.T))[1][:, -1]


def _to_surface(field: Field, start_mm: np.ndarray, way: np.ndarray) -> np.ndarray:
    """Return points (N, 3) on the parabola of direction and bend ``way`` (2, 3), from a point inside to the surface."""
    steps_mm = np.arange(0, float(np.linalg.norm(field.values.shape)) * field.step_mm, _RAY_STEP_MM)
    points_mm = start_mm + np.stack([steps_mm, steps_mm**2], axis=1) @ way
    distance_mm = field.at(points_mm)
    beyond = int((distance_mm <= 0).argmax())
    if beyond == 0:
        return points_mm[:1]
    before_mm, after_mm = distance_mm[beyond - 1 : beyond + 1]
    share = before_mm / (before_mm - after_mm)
    points_mm[beyond] = (1 - share) * points_mm[beyond - 1] + share * points_mm[beyond]
    return points_mm[1 : beyond + 1]
