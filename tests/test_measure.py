"""Measurements of shapes whose size, position and content are known."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from functools import lru_cache

import nibabel as nib
import numpy as np
import pytest
import torch
from monai.data import MetaTensor

from bundle.errors import InputError
from bundle.measure import NAMES, measure
from bundle.measure.attenuation import ball
from bundle.measure.gland import cut_out
from bundle.measure.isotropic import signed_distance

Shape = Callable[[np.ndarray], np.ndarray]

COS, SIN = np.cos(0.5), np.sin(0.5)
OBLIQUE = np.array([[COS, -SIN, 0], [SIN * COS, COS * COS, -SIN], [SIN * SIN, COS * SIN, COS]])
# Y moves by 0.3 mm for each mm along Z: a gantry tilt of 17 degrees.
TILT = np.array([[1, 0, 0], [0, 1, 0.3], [0, 0, 1]])
GRIDS = {
    "1 mm": np.eye(3),
    "0.7 mm, slices of 5 mm": np.diag([0.7, 0.7, 5]),
    "oblique": OBLIQUE @ np.diag([0.8, 0.9, 1.5]),
    "tilted": TILT @ np.diag([0.8, 0.8, 2]),
    "3 mm": np.diag([3, 3, 3]),
}
on_every_grid = pytest.mark.parametrize("grid", GRIDS)


def capsule(length_mm: float, radius_mm: float, direction: Sequence[float] = (1, 0, 0)) -> Shape:
    """Return a tube with round ends about the origin; ``length_mm`` from tip to tip."""
    way, half = np.array(direction) / np.linalg.norm(direction), length_mm / 2 - radius_mm

    def inside(points: np.ndarray) -> np.ndarray:
        return np.linalg.norm(points - np.clip(points @ way, -half, half)[..., None] * way, axis=-1) <= radius_mm

    return inside


def cylinder(length_mm: float, radius_mm: float) -> Shape:
    """Return a tube with flat ends along X about the origin."""
    return lambda p: (np.abs(p[..., 0]) <= length_mm / 2) & (np.hypot(p[..., 1], p[..., 2]) <= radius_mm)


def ellipsoid(*half_axes_mm: float) -> Shape:
    return lambda p: (p**2 / np.square(half_axes_mm)).sum(axis=-1) <= 1


def bent_tube(bend_mm: float, angle: float, radius_mm: float) -> Shape:
    """Return an arc of a torus in the XY plane, of ``bend_mm`` to its middle line, with round ends."""

    def inside(points: np.ndarray) -> np.ndarray:
        x, y, z = np.moveaxis(points, -1, 0)
        y = y + bend_mm
        turn = np.clip(np.arctan2(x, y), -angle / 2, angle / 2)
        return (x - bend_mm * np.sin(turn)) ** 2 + (y - bend_mm * np.cos(turn)) ** 2 + z**2 <= radius_mm**2

    return inside


def voxels(shape: Shape, edges: np.ndarray, size_mm: Sequence[float]) -> MetaTensor:
    """Return the mask (1, X, Y, Z) of a shape on a grid of the voxel edges (3, 3) around about ``size_mm``, RAS+."""
    affine = np.eye(4)
    affine[:3, :3] = edges
    # How far the grid must go for its parallelepiped to hold the box.
    counts = [int(n) + 3 for n in np.abs(np.linalg.inv(edges)) @ size_mm]
    affine[:3, 3] = np.array([0.13, 0.29, -0.21]) - edges @ ((np.array(counts) - 1) / 2)
    indices = np.stack(np.meshgrid(*(np.arange(n) for n in counts), indexing="ij"), axis=-1)
    return as_mask(shape(indices @ edges.T + affine[:3, 3]), affine)


def as_mask(inside: np.ndarray, affine: np.ndarray | None = None) -> MetaTensor:
    return MetaTensor(torch.from_numpy(np.asarray(inside, dtype=np.uint8).copy())[None], affine=_affine(affine))


def value(mask: MetaTensor, name: str) -> float:
    found = measure(mask)[name]
    assert found is not None
    return found


def as_image(hu: np.ndarray, affine: np.ndarray | None = None) -> MetaTensor:
    return MetaTensor(torch.from_numpy(np.asarray(hu, dtype=np.float32).copy())[None], affine=_affine(affine))


def _affine(affine: np.ndarray | None) -> torch.Tensor:
    return torch.eye(4, dtype=torch.float64) if affine is None else torch.from_numpy(np.array(affine, dtype=float))


# Size


def test_volume_is_voxels_times_the_determinant():
    affine = np.eye(4)
    affine[:3, :3] = TILT @ np.diag([2, 1, 5])
    mask = np.zeros((6, 6, 6))
    mask[1:5, 2:4, 2:5] = 1
    # 24 voxels of 10 mm³
    assert measure(as_mask(mask, affine))["volume_ml"] == pytest.approx(0.24)


@on_every_grid
def test_ball_has_its_volume_and_its_diameter_as_length(grid):
    found = measure(voxels(ellipsoid(15, 15, 15), GRIDS[grid], (36, 36, 36)))
    assert found["volume_ml"] == pytest.approx(4 / 3 * np.pi * 1.5**3, rel=0.04)
    assert found["length_mm"] == pytest.approx(30, abs=1)
    # Its sections are circles: the widest 30 mm, the mean over the middle 80 % 26.4 mm, (0.8·0.6 + asin 0.8)/1.6·30.
    assert found["max_calibre_mm"] == pytest.approx(30, rel=0.06)
    assert found["mean_calibre_mm"] == pytest.approx(26.4, rel=0.05)


@on_every_grid
def test_ellipsoid_has_its_long_axis_as_length(grid):
    found = measure(voxels(ellipsoid(30, 12, 10), GRIDS[grid], (64, 28, 24)))
    assert found["length_mm"] == pytest.approx(60, abs=2)
    # The widest section has half axes of 12 and 10 mm, the area of a circle of diameter 2√120.
    assert found["max_calibre_mm"] == pytest.approx(21.9, rel=0.05)


@on_every_grid
@pytest.mark.parametrize("direction", [(1, 0, 0), (1, 1, 0.5)])
def test_capsule_of_known_length_and_calibre(grid, direction):
    size_mm = 84 * np.abs(direction) / np.linalg.norm(direction) + 18
    found = measure(voxels(capsule(80, 8, direction), GRIDS[grid], size_mm))
    assert found["length_mm"] == pytest.approx(80, abs=2)
    assert found["mean_calibre_mm"] == pytest.approx(16, rel=0.06)
    assert found["max_calibre_mm"] == pytest.approx(16, rel=0.09)


def test_more_than_any_gland_is_measured_on_a_coarser_grid(monkeypatch):
    # 2.4 litres, so that the grid is 1.7 mm.
    steps_mm = []

    def noting_the_step(inside, affine, step_mm):
        steps_mm.append(step_mm)
        return signed_distance(inside, affine, step_mm)

    monkeypatch.setattr("bundle.measure.centre_line.signed_distance", noting_the_step)
    found = measure(voxels(capsule(360, 50), GRIDS["3 mm"], (366, 106, 106)))
    assert steps_mm == [pytest.approx((found["volume_ml"] / 500) ** (1 / 3))]
    assert found["length_mm"] == pytest.approx(360, abs=6)
    assert found["mean_calibre_mm"] == pytest.approx(100, rel=0.04)


@on_every_grid
def test_blunt_cylinder_is_not_measured_into_its_edges(grid):
    # From edge to edge it would be √(60² + 16²) = 62 mm, along a skeleton's branches into them more.
    found = measure(voxels(cylinder(60, 8), GRIDS[grid], (64, 20, 20)))
    assert found["length_mm"] == pytest.approx(60, abs=1.6 if grid != "3 mm" else 3)


@on_every_grid
def test_bent_tube_is_measured_along_the_bend(grid):
    # 30 mm · 0.8π + 2 · 7 mm of round ends
    found = measure(voxels(bent_tube(30, 0.8 * np.pi, 7), GRIDS[grid], (80, 80, 20)))
    assert found["length_mm"] == pytest.approx(89.4, rel=0.04)
    assert found["mean_calibre_mm"] == pytest.approx(14, rel=0.06)


def test_branch_does_not_lengthen_the_line():
    trunk, branch = capsule(80, 7), capsule(44, 5, (0, 1, 0))
    found = measure(voxels(lambda p: trunk(p) | branch(p), np.eye(3), (84, 48, 18)))
    assert found["length_mm"] == pytest.approx(80, abs=2)


def test_tail_on_a_large_ball_is_not_lost():
    head, tail = ellipsoid(18, 18, 18), capsule(80, 4)
    found = measure(voxels(lambda p: head(p) | tail(p) & (p[..., 0] > 0), np.eye(3), (84, 40, 40)))
    assert found["length_mm"] == pytest.approx(58, abs=2)
    assert found["max_calibre_mm"] == pytest.approx(36, rel=0.06)


def test_hole_inside_changes_no_length():
    tube, hole = capsule(80, 9), ellipsoid(4, 4, 4)
    found = measure(voxels(lambda p: tube(p) & ~hole(p), np.eye(3), (84, 24, 24)))
    assert found["length_mm"] == pytest.approx(80, abs=2)


def test_length_is_that_of_the_largest_piece():
    large, small = capsule(60, 6), capsule(30, 5)
    shape = voxels(lambda p: large(p) | small(p - np.array([0, 20, 0])), np.eye(3), (64, 60, 20))
    found = measure(shape)
    assert found["pieces"] == 2
    assert found["length_mm"] == pytest.approx(60, abs=2)
    # Capsules of 60 x 12 mm and 30 x 10 mm: 6333 and 2094 mm³
    assert found["largest_piece_fraction"] == pytest.approx(6333 / 8427, abs=0.01)


def test_voxels_that_touch_at_a_corner_are_one_piece():
    mask = np.zeros((6, 6, 6))
    mask[1, 1, 1] = mask[2, 2, 2] = 1
    assert measure(as_mask(mask))["pieces"] == 1


@pytest.mark.parametrize("spacing", [(1, 1, 1), (0.7, 0.7, 5), (3, 3, 3)])
@pytest.mark.parametrize("count", [(1, 1, 1), (4, 1, 1), (20, 20, 1), (8, 8, 8)])
def test_small_and_thin_masks_have_every_number_that_they_can_have(spacing, count):
    found = measure(as_mask(np.pad(np.ones(count), 3), np.diag([*spacing, 1])))
    without = {"mean_hu", "sd_hu", "hu_voxel_fraction", "fat_fraction", "fat_fraction_undilated"}
    assert {name for name, value in found.items() if value is None} <= without | {"surface_lobularity_mm"}
    assert (found["length_mm"] or 0) > 0


# Surface


def lobed(radius_mm: float, height_mm: float, lobes: int) -> Shape:
    """Return a column along Z whose outline is a circle with a sine on it."""

    def inside(points: np.ndarray) -> np.ndarray:
        x, y, _ = np.moveaxis(points, -1, 0)
        return np.hypot(x, y) <= radius_mm + height_mm * np.sin(lobes * np.arctan2(x, y))

    return inside


@pytest.mark.parametrize("pixel_mm", [0.5, 0.8, 1.0])
def test_lobes_are_seen_with_their_mean_height(pixel_mm):
    # 12 lobes on 2π · 20 mm: each 10.5 mm long. A sine's mean distance from its middle is 2/π of its height.
    found = measure(voxels(lobed(20, 1, 12), np.diag([pixel_mm, pixel_mm, 3]), (46, 46, 9)))
    assert found["surface_lobularity_mm"] == pytest.approx(2 / np.pi, rel=0.15)


def test_higher_lobes_are_more_lobular():
    masks = [voxels(lobed(20, height, 12), np.diag([0.8, 0.8, 3]), (46, 46, 9)) for height in (0, 0.5, 1, 2)]
    found = [value(mask, "surface_lobularity_mm") for mask in masks]
    assert (np.diff(found) > 0.2).all()


@pytest.mark.parametrize(("pixel_mm", "floor_mm"), [(0.5, 0.06), (0.8, 0.1), (1.0, 0.16)])
def test_circle_is_smooth_but_for_the_steps_of_its_voxels(pixel_mm, floor_mm):
    found = measure(voxels(lobed(20, 0, 1), np.diag([pixel_mm, pixel_mm, 3]), (46, 46, 9)))
    assert found["surface_lobularity_mm"] < floor_mm


def test_slices_twice_as_thick_change_no_lobularity():
    masks = (voxels(lobed(15, 1, 9), np.diag([0.8, 0.8, z]), (40, 40, 30)) for z in (2.5, 5))
    thin, thick = (value(mask, "surface_lobularity_mm") for mask in masks)
    assert thin == pytest.approx(thick, rel=0.02)


def test_lobes_of_pixels_beyond_2_mm_are_not_measured():
    assert measure(voxels(lobed(20, 2, 12), np.diag([3, 3, 3]), (46, 46, 9)))["surface_lobularity_mm"] is None


# Attenuation

BOX = np.zeros((30, 30, 30))
BOX[8:22, 8:22, 8:22] = 1


def test_mean_and_sd_are_those_of_the_texture():
    texture = np.random.default_rng(0).normal(40, 12, BOX.shape)
    found = measure(as_mask(BOX), as_image(texture))
    assert found["mean_hu"] == pytest.approx(40, abs=1)
    assert found["sd_hu"] == pytest.approx(12, abs=0.5)


def test_outer_millimetre_does_not_count():
    # The outer layer of voxels of 1 mm is fat; the 12³ voxels inside it are not.
    hu = np.full(BOX.shape, -100.0)
    hu[9:21, 9:21, 9:21] = 50
    found = measure(as_mask(BOX), as_image(hu))
    assert (found["mean_hu"], found["sd_hu"]) == (50, 0)
    assert found["hu_voxel_fraction"] == pytest.approx(12**3 / 14**3)


def test_gland_too_thin_to_erode_counts_whole():
    mask = np.zeros((20, 20, 20))
    mask[5:15, 5:15, 10] = 1
    found = measure(as_mask(mask), as_image(np.full(mask.shape, 30.0)))
    assert (found["mean_hu"], found["hu_voxel_fraction"]) == (30, 1)


def test_gland_is_not_eroded_where_the_scan_ends():
    # Half of the voxels next to the border at X = 0 would go otherwise: 9·8·8 of 10·10·10 stay.
    mask = np.zeros((20, 20, 20))
    mask[:10, 5:15, 5:15] = 1
    found = measure(as_mask(mask), as_image(np.zeros(mask.shape)))
    assert found["hu_voxel_fraction"] == pytest.approx(9 * 8 * 8 / 1000)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_values_that_are_not_finite_do_not_count(value):
    hu = np.full(BOX.shape, 20.0)
    hu[14] = value
    found = measure(as_mask(BOX), as_image(hu))
    assert (found["mean_hu"], found["fat_fraction"]) == (20, 0)


def test_no_finite_value_gives_none():
    found = measure(as_mask(BOX), as_image(np.full(BOX.shape, np.nan)))
    assert found["mean_hu"] is found["sd_hu"] is found["fat_fraction"] is None


def test_fat_fraction_of_a_known_mixture():
    hu = np.full(BOX.shape, 40.0)
    hu[..., ::4] = -100  # one slice in four; 12, 16 and 20 of the 14 from 8 to 21, and 8
    found = measure(as_mask(BOX), as_image(hu))
    assert found["fat_fraction_undilated"] == pytest.approx(4 / 14)


def test_fat_around_the_gland_counts_as_far_as_a_millimetre():
    hu = np.where(BOX > 0, 40.0, -100.0)
    found = measure(as_mask(BOX), as_image(hu))
    # One layer on all faces: along the edges it is 0.71 mm away from the mask's centres' cubes, at the corners 0.87 mm.
    assert found["fat_fraction"] == pytest.approx(1 - 14**3 / 16**3)
    assert found["fat_fraction_undilated"] == 0


@pytest.mark.parametrize(("hu", "fat"), [(-191, 0), (-190, 1), (-30, 1), (-29, 0)])
def test_fat_range_holds_both_its_ends(hu, fat):
    assert measure(as_mask(BOX), as_image(np.full(BOX.shape, hu)))["fat_fraction_undilated"] == fat


@pytest.mark.parametrize(
    ("spacing", "count"),
    [
        ((1, 1, 1), 27),  # all neighbours: the nearest corner is √0.75 mm away
        ((2, 2, 2), 1),  # the face at 1 mm is not nearer than 1 mm
        ((0.8, 0.8, 5), 9),  # nothing in the next slice
        ((0.5, 0.5, 5), 21),  # the second neighbours begin at 0.75 mm; 0.75, 0.75 is too far: 5 x 5 without corners
    ],
)
def test_ball_of_a_millimetre_on_a_straight_grid(spacing, count):
    assert np.count_nonzero(ball(np.diag([*spacing, 1.0]), 1.0)) == count


def test_ball_is_that_of_the_world_on_a_sheared_grid():
    affine = np.eye(4)
    affine[:3, :3] = np.array([[1, 0.9, 0], [0, 1, 0], [0, 0, 4]])
    reached = ball(affine, 1.0)[..., 1 if ball(affine, 1.0).shape[2] == 3 else 0]
    # Sampled: which voxels have a point within 1 mm of the origin.
    steps = np.linspace(-0.5, 0.5, 41)
    square = np.stack(np.meshgrid(steps, steps, indexing="ij"), axis=-1)
    reach = np.array(reached.shape) // 2
    for index in np.ndindex(reached.shape):
        points = (square + (np.array(index) - reach)) @ affine[:2, :2].T
        assert reached[index] == (np.linalg.norm(points, axis=-1).min() < 1), index


# Position


def test_centroid_box_and_borders_in_mm():
    # X runs to the left in voxels of 2 mm, Y to the front of 1 mm, Z to the feet of 5 mm.
    affine = np.array([[-2.0, 0, 0, 100], [0, 1, 0, -50], [0, 0, -5, 300], [0, 0, 0, 1]])
    mask = np.zeros((20, 30, 10))
    mask[3:5, 10:14, 6:7] = 1
    found = measure(as_mask(mask, affine))
    # X: centres 94 and 92 mm, so 91 to 95. Y: -40 to -37. Z: 270.
    assert [found[f"centroid_{axis}_mm"] for axis in "xyz"] == pytest.approx([93, -38.5, 270])
    box = [found[f"box_{axis}_{end}_mm"] for axis in "xyz" for end in ("min", "max")]
    assert box == pytest.approx([91, 95, -40.5, -36.5, 267.5, 272.5])
    borders = {"right": 3 * 2, "left": 15 * 2, "posterior": 10, "anterior": 16, "superior": 6 * 5, "inferior": 3 * 5}
    assert {face: found[f"border_{face}_mm"] for face in borders} == pytest.approx(borders)
    assert found["border_mm"] == 6


def test_border_is_0_where_the_mask_is_cut():
    mask = np.zeros((9, 9, 9))
    mask[4, 4, 7:] = 1
    found = measure(as_mask(mask))
    assert (found["border_superior_mm"], found["border_mm"]) == (0, 0)


def test_border_of_a_tilted_scan_is_between_parallel_faces():
    affine = np.eye(4)
    affine[:3, :3] = np.array([[1, 0, 0], [0, 1, 1], [0, 0, 1]])
    mask = np.zeros((9, 9, 9))
    mask[4, 4, 4] = 1
    # Four layers whose planes, tilted by 45 degrees, are 1/√2 mm apart.
    assert measure(as_mask(mask, affine))["border_anterior_mm"] == pytest.approx(4 / np.sqrt(2))


# Grids


@lru_cache
def scene() -> tuple[MetaTensor, MetaTensor]:
    """Return a bent tube with a ball at its end and noise around it, on oblique anisotropic voxels."""
    tube, head = bent_tube(22, 2, 6), ellipsoid(9, 9, 9)
    edges = OBLIQUE @ np.diag([0.9, 1.1, 2.5])
    shape = voxels(lambda p: tube(p) | head(p - np.array([18, -10, 0])), edges, (54, 40, 22))
    hu = np.random.default_rng(1).normal(0, 60, shape.shape[1:])
    return shape, as_image(hu, np.asarray(shape.affine))


@lru_cache
def measured_scene() -> dict[str, float | None]:
    return measure(*scene())


def turned(volume: MetaTensor, axes: Sequence[int], flips: Sequence[int]) -> MetaTensor:
    """Return the same volume of the world with its axes in another order and direction."""
    orientation = np.array([axes, flips]).T
    array = nib.apply_orientation(volume[0].numpy(), orientation).copy()
    affine = np.asarray(volume.affine) @ nib.orientations.inv_ornt_aff(orientation, volume.shape[1:])
    return MetaTensor(torch.from_numpy(array)[None], affine=torch.from_numpy(affine))


ORIENTATIONS = [((0, 1, 2), (-1, -1, 1)), ((2, 1, 0), (1, -1, 1)), ((1, 2, 0), (-1, -1, -1)), ((0, 2, 1), (1, 1, -1))]


@pytest.mark.parametrize(("axes", "flips"), ORIENTATIONS)
def test_orientation_of_the_axes_changes_nothing(axes, flips):
    mask, image = scene()
    found = measure(turned(mask, axes, flips), turned(image, axes, flips))
    assert list(found) == list(measured_scene())
    assert found == pytest.approx(measured_scene(), rel=1e-6, abs=1e-6)


@pytest.mark.parametrize(("axes", "flips"), ORIENTATIONS)
def test_image_may_have_its_axes_in_another_order(axes, flips):
    mask, image = scene()
    assert measure(mask, turned(image, axes, flips)) == pytest.approx(measured_scene(), rel=1e-6, abs=1e-6)


def test_scan_around_the_gland_changes_only_its_distance_from_the_border():
    mask, image = scene()
    affine = np.asarray(mask.affine).copy()
    affine[:3, 3] -= affine[:3, :3] @ [20, 20, 20]
    large = [np.pad(volume[0].numpy(), 20) for volume in (mask, image)]
    expected, found = measured_scene(), measure(as_mask(large[0], affine), as_image(large[1], affine))
    inner = [name for name in NAMES if not name.startswith("border")]
    assert [found[name] for name in inner] == pytest.approx([expected[name] for name in inner])
    # 20 voxels more, whose planes are 0.9, 1.1 and 2.5 mm apart
    assert (found["border_mm"] or 0) > (expected["border_mm"] or 0) + 15


def test_crop_holds_the_mask_and_the_margin_that_the_scan_has():
    mask = np.zeros((50, 40, 30))
    mask[10:20, 10:20, 28:] = 1
    gland = cut_out(as_mask(mask), margin_mm=1.0)
    assert gland is not None
    assert gland.inside.shape == (12, 12, 3)
    assert (gland.before, gland.after) == ((9, 9, 27), (29, 19, 0))


def test_image_on_another_grid_is_refused():
    mask, image = as_mask(BOX), as_image(BOX)
    image.affine[0, 3] += 5
    with pytest.raises(InputError, match="on the same voxels"):
        measure(mask, image)


def test_affine_without_volume_is_refused():
    with pytest.raises(InputError, match="can be inverted"):
        measure(as_mask(BOX, np.diag([1, 1, 0, 1])))


def test_two_channels_are_refused():
    with pytest.raises(InputError, match="a volume is"):
        measure(MetaTensor(torch.zeros(2, 4, 4, 4)))


# The dictionary


def test_empty_mask_has_no_volume_and_nothing_else():
    found = measure(as_mask(np.zeros((5, 5, 5))), as_image(np.zeros((5, 5, 5))))
    assert found.pop("volume_ml") == 0
    assert set(found.values()) == {None} and len(found) == len(NAMES) - 1


def test_every_number_is_there_finite_and_plain_json():
    found = measured_scene()
    assert tuple(found) == NAMES
    assert json.loads(json.dumps(found, allow_nan=False)) == found
    assert None not in found.values()


def test_mask_and_image_are_left_as_they_were():
    mask, image = scene()
    before = mask.clone(), image.clone()
    measure(mask, image)
    assert torch.equal(mask, before[0]) and torch.equal(image, before[1])
    assert torch.equal(mask.affine, before[0].affine)
