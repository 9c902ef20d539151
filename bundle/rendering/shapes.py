"""Shapes for drawing anatomies: signed distances in mm (negative inside), each evaluated in its own box only."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from bundle.rendering.draws import bounded_normal, generator_on
from bundle.rendering.tissues import Tissue

Point = tuple[float, float, float]


@dataclass(frozen=True)
class Grid:
    """A box of voxels: its place in the canvas and the mm coordinates of its voxels as an open grid.

    ``x`` is (X, 1, 1), ``y`` (1, Y, 1) and ``z`` (1, 1, Z), so that arithmetic on them broadcasts to (X, Y, Z).
    """

    slices: tuple[slice, slice, slice]
    x: Tensor
    y: Tensor
    z: Tensor

    @property
    def shape(self) -> tuple[int, int, int]:
        return self.x.shape[0], self.y.shape[1], self.z.shape[2]


class Canvas:
    """A label map (uint8, (X, Y, Z), RAS) to draw on in mm.

    Args:
        lower_mm: corner of the canvas with the lowest coordinates.
        upper_mm: opposite corner.
        spacing_mm: edge of a voxel.
        generator: source of random numbers for shapes; one number of it seeds the surface noise, whose count of
            random numbers depends on the voxel size, so that shapes do not.
    """

    def __init__(self, lower_mm: Point, upper_mm: Point, spacing_mm: float, generator: torch.Generator) -> None:
        self.spacing_mm = spacing_mm
        self.generator = generator
        self._noise_generator = generator_on("cpu", generator)
        self.lower_mm = lower_mm
        self.axes = [
            low + spacing_mm * torch.arange(round((high - low) / spacing_mm) + 1)
            for low, high in zip(lower_mm, upper_mm, strict=True)
        ]
        self.tissues = torch.full([len(a) for a in self.axes], int(Tissue.OUTSIDE), dtype=torch.uint8)

    def grid(self, lower_mm: Sequence[float] | None = None, upper_mm: Sequence[float] | None = None) -> Grid:
        """The voxels between two corners (the whole canvas by default); at least one voxel along each axis."""
        slices = []
        for axis, values in enumerate(self.axes):
            start, stop = 0, len(values)
            if lower_mm is not None:
                start = int((lower_mm[axis] - self.lower_mm[axis]) / self.spacing_mm)
            if upper_mm is not None:
                stop = int((upper_mm[axis] - self.lower_mm[axis]) / self.spacing_mm) + 2
            start = min(max(start, 0), len(values) - 1)
            slices.append(slice(start, min(max(stop, start + 1), len(values))))
        x, y, z = (values[s] for values, s in zip(self.axes, slices, strict=True))
        return Grid((slices[0], slices[1], slices[2]), x[:, None, None], y[None, :, None], z[None, None, :])

    def free(self, grid: Grid, over: Sequence[Tissue] = (Tissue.FAT,)) -> Tensor:
        """Where the tissues of a grid may be drawn over, (X, Y, Z) boolean."""
        tissues = self.tissues[grid.slices]
        allowed = tissues == over[0]
        for tissue in over[1:]:
            allowed = allowed | (tissues == tissue)
        return allowed

    def behind(self, grid: Grid, tissues: Sequence[Tissue], margin_mm: float = 4.5) -> Tensor:
        """Voxels with any of ``tissues`` in front of them, also up to ``margin_mm`` beside it, (X, Y, Z) boolean."""
        shown = self.free(grid, tissues).float()
        reach = max(1, round(margin_mm / self.spacing_mm))
        wide = functional.max_pool3d(shown[None], (2 * reach + 1, 1, 2 * reach + 1), 1, (reach, 0, reach))[0]
        return wide.flip(1).cummax(dim=1).values.flip(1) > 0

    def paint(self, grid: Grid, mask: Tensor, tissue: Tissue, over: Sequence[Tissue] | None = (Tissue.FAT,)) -> None:
        """Draw ``tissue`` where ``mask`` holds and the canvas shows one of ``over`` (None: anything)."""
        if over is not None:
            mask = mask & self.free(grid, over)
        self.tissues[grid.slices].masked_fill_(mask, int(tissue))

    def noise(self, grid: Grid, wavelength_mm: float) -> Tensor:
        """Smooth noise of about unit deviation over a grid, (X, Y, Z)."""
        coarse = [max(2, round(n * self.spacing_mm / wavelength_mm) + 2) for n in grid.shape]
        values = torch.randn([1, 1, *coarse], generator=self._noise_generator)
        smooth = functional.interpolate(values, size=grid.shape, mode="trilinear", align_corners=True)
        return 1.5 * smooth[0, 0]  # interpolation between independent values lowers the deviation to about 2/3


def jitter(generator: torch.Generator, point: Sequence[float], deviation_mm: float) -> Point:
    """A point moved along each axis."""
    x, y, z = (value + bounded_normal(generator, deviation_mm) for value in point)
    return x, y, z


def spline(points: Sequence[Sequence[float]], step_mm: float) -> Tensor:
    """Catmull-Rom curve through points of (x, y, z, radius ...) as (N, C) samples about ``step_mm`` apart."""
    control = torch.tensor([list(point) for point in points], dtype=torch.float32)
    ends = torch.stack([2 * control[0] - control[1], 2 * control[-1] - control[-2]])
    padded = torch.cat([ends[:1], control, ends[1:]])
    pieces = []
    for a, b, c, d in zip(padded[:-3], padded[1:-2], padded[2:-1], padded[3:], strict=True):
        count = max(1, round(float((c - b)[:3].norm()) / step_mm))
        t = (torch.arange(count) / count)[:, None]
        pieces.append(0.5 * (2 * b + (c - a) * t + (2 * a - 5 * b + 4 * c - d) * t**2 + (3 * b - a - 3 * c + d) * t**3))
    return torch.cat([*pieces, control[-1:]])


def tube_grid(canvas: Canvas, curve: Tensor, margin_mm: float) -> Grid:
    """The box around a curve of (N, 4) samples (x, y, z, radius) and ``margin_mm`` more."""
    reach = curve[:, 3:].clamp(min=0) + margin_mm
    return canvas.grid((curve[:, :3] - reach).amin(0).tolist(), (curve[:, :3] + reach).amax(0).tolist())


def tube(canvas: Canvas, grid: Grid, curve: Tensor, margin_mm: float, stretch_z: float = 1.0) -> Tensor:
    """Signed distance to a tube of varying radius, exact to ``margin_mm`` outside of it and 1000 beyond.

    Args:
        canvas: gives the voxel size.
        grid: where to evaluate.
        curve: (N, 4) samples (x, y, z, radius) of the centre line.
        margin_mm: how far outside the tube the field is wanted.
        stretch_z: height of the cross-section over its width.
    """
    field = torch.full(grid.shape, 1000.0)
    for start, stop in zip(curve[:-1].tolist(), curve[1:].tolist(), strict=True):
        _tube_piece(canvas, grid, field, start, stop, margin_mm, stretch_z)
    return field


def _tube_piece(
    canvas: Canvas, grid: Grid, field: Tensor, start: list[float], stop: list[float], margin_mm: float, stretch: float
) -> None:
    """Lower ``field`` to the distance from one straight, conical piece within that piece's own box."""
    reach = max(start[3], stop[3]) + margin_mm
    ranges = []
    for axis, values in enumerate((grid.x, grid.y, grid.z)):
        low = float(values.flatten()[0])
        extent = reach * (stretch if axis == 2 else 1.0)
        first = int((min(start[axis], stop[axis]) - extent - low) / canvas.spacing_mm)
        last = int((max(start[axis], stop[axis]) + extent - low) / canvas.spacing_mm) + 2
        if last <= 0 or first >= values.numel():
            return
        ranges.append(slice(max(first, 0), last))
    dx = grid.x[ranges[0]] - start[0]
    dy = grid.y[:, ranges[1]] - start[1]
    dz = (grid.z[:, :, ranges[2]] - start[2]) / stretch
    ax, ay, az = stop[0] - start[0], stop[1] - start[1], (stop[2] - start[2]) / stretch
    t = ((dx * ax + dy * ay + dz * az) / max(ax * ax + ay * ay + az * az, 1e-6)).clamp_(0, 1)
    distance = ((dx - t * ax) ** 2 + (dy - t * ay) ** 2 + (dz - t * az) ** 2).sqrt_()
    part = field[ranges[0], ranges[1], ranges[2]]
    part.copy_(torch.minimum(part, distance - (start[3] + t * (stop[3] - start[3]))))


def draw_tube(
    canvas: Canvas,
    points: Sequence[Sequence[float]],
    tissue: Tissue,
    over: Sequence[Tissue] | None = (Tissue.FAT,),
    roughness_mm: float = 0.0,
    stretch_z: float = 1.0,
) -> Tensor:
    """Draw a tube through (x, y, z, radius) points; the (N, 4) samples of its centre line."""
    step_mm = max(2.0, 0.5 * min(point[3] for point in points))
    curve = spline(points, step_mm)
    curve[:, 3].clamp_(min=0.6 * canvas.spacing_mm)  # a thinner vessel would break up into loose voxels
    margin_mm = 1.0 + 2.5 * roughness_mm
    grid = tube_grid(canvas, curve, margin_mm + (stretch_z - 1) * float(curve[:, 3].max()))
    field = tube(canvas, grid, curve, margin_mm, stretch_z)
    if roughness_mm:
        wavelength_mm = max(10.0, float(curve[:, 3].mean()) * 1.5)
        field += roughness_mm * canvas.noise(grid, wavelength_mm)
    canvas.paint(grid, field < 0, tissue, over)
    return curve


def ellipsoid(
    grid: Grid, centre: Sequence[float], radii: Sequence[float], turns: Sequence[float] = (0, 0, 0)
) -> Tensor:
    """About the signed distance to an ellipsoid turned about x, then y, then z (radians)."""
    offset = (grid.x - centre[0], grid.y - centre[1], grid.z - centre[2])
    rotation = _rotation(turns)
    local = [offset[0] * row[0] + offset[1] * row[1] + offset[2] * row[2] for row in rotation.T.tolist()]
    scaled = sum((v / r) ** 2 for v, r in zip(local, radii, strict=True))
    slope = sum((v / r**2) ** 2 for v, r in zip(local, radii, strict=True))
    norm = torch.as_tensor(scaled).sqrt()
    return norm * (norm - 1) / torch.as_tensor(slope).sqrt().clamp(min=1e-4)


def _rotation(turns: Sequence[float]) -> Tensor:
    """Rotation matrix of turns about x, then y, then z."""
    result = torch.eye(3)
    for axis, angle in enumerate(turns):
        i, j = [k for k in range(3) if k != axis]
        c, s = torch.cos(torch.tensor(float(angle))), torch.sin(torch.tensor(float(angle)))
        turn = torch.eye(3)
        turn[i, i], turn[i, j], turn[j, i], turn[j, j] = c, -s, s, c
        result = turn @ result
    return result


def smooth_max(a: Tensor, b: Tensor, width_mm: float) -> Tensor:
    """Intersection of two signed distances, its edge rounded over ``width_mm``."""
    blend = (width_mm - (a - b).abs()).clamp(min=0) / width_mm
    return torch.maximum(a, b) + blend * blend * (width_mm / 4)


def smooth_step(value: Tensor, low: float, high: float) -> Tensor:
    """0 below ``low``, 1 above ``high``, smooth between; ``low`` may be the larger one to turn it round."""
    t = ((value - low) / (high - low)).clamp(0, 1)
    return t * t * (3 - 2 * t)
