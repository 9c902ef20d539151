"""The scanner: painted Hounsfield units to the scan that a CT scanner would have stored.

Every axis is resampled by one small matrix, which holds interpolation, blur and slice averaging at once: the painted
grid is coarse, so three matrix products give a 512 x 512 x 120 scan within seconds on one core.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

import nibabel as nib
import numpy as np
import torch
from scipy import ndimage
from torch import Tensor

from bundle.errors import bad_input
from bundle.rendering.draws import chance, uniform
from bundle.rendering.tissues import CLASSES

if TYPE_CHECKING:
    from bundle.rendering.appearance import Painted

AIR_HU = -1000.0
PADDING_HU = -1024
HIGHEST_HU = 3071
PANCREAS = CLASSES.index("pancreas")
WATER_PER_MM = 0.02  # linear attenuation of water at about 70 keV


@dataclass(frozen=True)
class ScannerSettings:
    """What :func:`acquire` draws from; a pair is a range (low, high), a ``share`` a probability.

    Args:
        in_plane_spacing_mm: pixel edge; drawn, then raised within the range where ``max_matrix`` would be exceeded.
        slice_thickness_mm: thickness over which a slice averages.
        max_matrix: largest number of rows and columns; the field of view is cut to it.
        share_overlapping: slices closer than they are thick.
        share_slab: thin slab across the pancreas, ``slab_mm`` long, rather than the abdomen.
        share_without_pancreas: scan cut above or below the gland, ``gap_mm`` away from it.
        share_lateral_crop: field of view narrower than the body.
        noise_hu: standard deviation of the noise, mean over the body; drawn log-uniformly.
        blur_mm: standard deviation of the in-plane blur on top of the painted grid's own: sharp to soft kernel.
        noise_peak_per_mm: spatial frequency at which the noise power peaks, from soft to sharp kernel.
        offset_hu: largest error of the HU scale, either sign.
        share_starvation: horizontal streaks where the body is widest and densest.
        share_metal: clip, stent or spine screws with star streaks.
        share_motion: in-plane double contours by breathing.
        share_table: patient table below the back.
        share_circle: padding value outside the reconstruction circle.
        orientations: axis codes of the stored array, one is drawn with equal chances.
    """

    in_plane_spacing_mm: tuple[float, float] = (0.6, 0.95)
    slice_thickness_mm: tuple[float, float] = (1.0, 5.0)
    max_matrix: int = 512
    share_overlapping: float = 0.2
    share_slab: float = 0.25
    slab_mm: tuple[float, float] = (30.0, 120.0)
    share_without_pancreas: float = 0.0
    gap_mm: tuple[float, float] = (8.0, 40.0)
    share_lateral_crop: float = 0.15
    noise_hu: tuple[float, float] = (3.0, 28.0)
    blur_mm: tuple[float, float] = (0.5, 1.0)
    noise_peak_per_mm: tuple[float, float] = (0.14, 0.35)
    offset_hu: float = 4.0
    share_starvation: float = 0.25
    share_metal: float = 0.06
    share_motion: float = 0.05
    share_table: float = 0.85
    share_circle: float = 0.6
    orientations: tuple[str, ...] = ("LPS", "RAS", "LAS")

    def __post_init__(self) -> None:
        for field in fields(self):
            self._check(field.name, getattr(self, field.name))

    def _check(self, name: str, value: Any) -> None:
        if name == "orientations":
            if not value or any(sorted(code.translate(_OPPOSITE)) != ["A", "R", "S"] for code in value):
                raise bad_input(name, "an orientation names three axes", value, 'Give codes such as "LPS".')
        elif isinstance(value, tuple):
            if not 0 < value[0] <= value[1]:
                raise bad_input(name, "a range is (low, high) with 0 < low <= high", value, "Swap or correct it.")
        elif name.startswith("share_") and not 0 <= value <= 1:
            raise bad_input(name, "a share lies between 0 and 1", value, "Correct it.")


_OPPOSITE = str.maketrans("LPI", "RAS")


@dataclass(frozen=True)
class RenderedScan:
    """A scan and its truth on one grid.

    Args:
        image_hu: (X, Y, Z) int16.
        label: (X, Y, Z) uint8, indices into :data:`bundle.rendering.tissues.CLASSES`.
        affine: 4 x 4 voxel to world, RAS+ in mm; the array may have any orientation.
        facts: how the scan came about, plain values.
    """

    image_hu: np.ndarray
    label: np.ndarray
    affine: np.ndarray
    facts: dict[str, Any]


def acquire(painted: Painted, generator: torch.Generator, settings: ScannerSettings) -> RenderedScan:
    """Scan a painted body.

    Args:
        painted: on any device, which does the work.
        generator: CPU generator; same state, same scan.
        settings: what to draw from.

    Raises:
        InputError: a scan without pancreas was drawn and the body ends too close to the gland, above and below.
    """
    density = (painted.image_hu - AIR_HU).permute(2, 1, 0)  # (Z, Y, X) from here on; air is 0, also beyond the grid
    label = painted.label.permute(2, 1, 0)
    thickness_mm = uniform(generator, *settings.slice_thickness_mm)
    bottom_mm, top_mm, view = _length_of_scan(label, painted.spacing_mm, thickness_mm, generator, settings)
    first = max(0, math.floor((bottom_mm - thickness_mm) / painted.spacing_mm))
    last = math.ceil((top_mm + thickness_mm) / painted.spacing_mm) + 1
    density, label = density[first:last].clone(), label[first:last]
    metal, metals = _insert_metal(density, label, painted.spacing_mm, generator, settings)
    length_mm = (bottom_mm - first * painted.spacing_mm, top_mm - first * painted.spacing_mm)
    grid = _draw_grid(density, painted.spacing_mm, length_mm, thickness_mm, generator, settings)
    z_mm, y_mm, x_mm = grid.z_mm, grid.y_mm, grid.x_mm

    softness = uniform(generator, 0, 1)
    blur_mm = _between(settings.blur_mm, softness)
    motion_mm = uniform(generator, 1.5, 5.0) if chance(generator, settings.share_motion) else 0.0
    slices = _sampling_matrix(z_mm, painted.spacing_mm, len(density), _slab_average(thickness_mm), replicate=True)
    rows = _sampling_matrix(y_mm, painted.spacing_mm, density.shape[1], _ghost(_gaussian(blur_mm), motion_mm))
    columns = _sampling_matrix(x_mm, painted.spacing_mm, density.shape[2], _gaussian(blur_mm))
    image = _resample(density, slices, rows, columns)
    scanned_label = _resample_label(label, grid, painted.spacing_mm, thickness_mm)

    pixel_mm = grid.pixel_mm
    if chance(generator, settings.share_table):
        _lay_on_table(image, pixel_mm, generator)
    noise_hu = _between_logs(settings.noise_hu, uniform(generator, 0, 1))
    starvation = chance(generator, settings.share_starvation)
    peak_per_mm = _between(settings.noise_peak_per_mm, 1 - softness)
    overlap = max(0.0, 1 - grid.increment_mm / thickness_mm)
    _add_noise(image, pixel_mm, noise_hu, peak_per_mm, overlap, starvation, generator)
    for streak in metal:
        _add_star(image, grid, streak, generator)
    image += AIR_HU + uniform(generator, -settings.offset_hu, settings.offset_hu)
    circle = chance(generator, settings.share_circle)
    if circle:
        _pad_outside_circle(image)
    stored = image.round_().clamp_(PADDING_HU, HIGHEST_HU).to(torch.int16)

    orientation = settings.orientations[_integer(generator, len(settings.orientations))]
    affine = np.diag([pixel_mm, pixel_mm, grid.increment_mm, 1.0])
    half_mm = 0.5 * pixel_mm * len(x_mm)
    shift_mm = [uniform(generator, -limit, limit) for limit in (50, 50, 900)]
    affine[:3, 3] = np.round(np.array(shift_mm) - [half_mm, half_mm, 0], 3)
    image_hu, affine_out = _reorient(stored.cpu().numpy().T, affine, orientation)
    label_out, _ = _reorient(scanned_label.cpu().numpy().T, affine, orientation)
    voxel_ml = pixel_mm**2 * grid.increment_mm / 1000
    facts = {
        **painted.facts,
        "view": view,
        "in_plane_spacing_mm": round(pixel_mm, 4),
        "slice_thickness_mm": round(thickness_mm, 3),
        "slice_increment_mm": round(grid.increment_mm, 3),
        "noise_hu": round(noise_hu, 2),
        "blur_mm": round(blur_mm, 2),
        "motion_mm": round(motion_mm, 2),
        "starvation": starvation,
        "metal": metals,
        "circle": circle,
        "orientation": orientation,
        "pancreas_ml": round(float((label_out == PANCREAS).sum()) * voxel_ml, 2),
    }
    return RenderedScan(image_hu, label_out, affine_out, facts)


def _integer(generator: torch.Generator, stop: int) -> int:
    return int(torch.randint(stop, (), generator=generator))


def _generator_on(device: torch.device, generator: torch.Generator) -> torch.Generator:
    """Generator for whole volumes where they lie; its seed comes from ``generator``."""
    return torch.Generator(device).manual_seed(_integer(generator, 2**31))


def _between(limits: tuple[float, float], fraction: float) -> float:
    return limits[0] + (limits[1] - limits[0]) * fraction


def _between_logs(limits: tuple[float, float], fraction: float) -> float:
    return limits[0] * (limits[1] / limits[0]) ** fraction


# What is scanned ------------------------------------------------------------------------------------------------------


def _length_of_scan(
    label: Tensor, spacing_mm: float, thickness_mm: float, generator: torch.Generator, settings: ScannerSettings
) -> tuple[float, float, str]:
    """Return bottom and top of the scan in mm from the lowest painted slice, and what it is."""
    length_mm = len(label) * spacing_mm
    gland = (label == PANCREAS).flatten(1).any(1).nonzero()
    low_mm, high_mm = (float(gland[0]) * spacing_mm, float(gland[-1] + 1) * spacing_mm) if len(gland) else (0.0, 0.0)
    without = chance(generator, settings.share_without_pancreas)
    slab = chance(generator, settings.share_slab)
    if without and len(gland):
        return *_beside_gland(low_mm, high_mm, length_mm, thickness_mm, generator, settings), "without pancreas"
    if slab:
        wanted_mm = min(uniform(generator, *settings.slab_mm), length_mm)
        middle_mm = uniform(generator, low_mm, high_mm) if len(gland) else uniform(generator, 0, length_mm)
        bottom_mm = min(max(middle_mm - wanted_mm / 2, 0.0), length_mm - wanted_mm)
        return bottom_mm, bottom_mm + wanted_mm, "slab"
    spare_below_mm, spare_above_mm = max(low_mm - 25, 0.0), max(length_mm - high_mm - 25, 0.0)
    bottom_mm = uniform(generator, 0, 0.9) ** 2 * spare_below_mm if len(gland) else 0.0
    cut_mm = uniform(generator, 0, 0.9) ** 2 * spare_above_mm if len(gland) else 0.0
    return bottom_mm, length_mm - cut_mm, "abdomen"


def _beside_gland(
    low_mm: float,
    high_mm: float,
    length_mm: float,
    thickness_mm: float,
    generator: torch.Generator,
    settings: ScannerSettings,
) -> tuple[float, float]:
    gap_mm = uniform(generator, *settings.gap_mm)
    shortest_mm = max(4 * thickness_mm, settings.slab_mm[0])
    for needed_mm in (gap_mm + thickness_mm, settings.gap_mm[0] + thickness_mm):
        rooms = {"below": (0.0, low_mm - needed_mm), "above": (high_mm + needed_mm, length_mm)}
        fitting = [room for room in rooms.values() if room[1] - room[0] >= shortest_mm]
        if fitting:
            bottom_mm, top_mm = fitting[_integer(generator, len(fitting))]
            kept_mm = uniform(generator, shortest_mm, top_mm - bottom_mm)
            return (top_mm - kept_mm, top_mm) if bottom_mm == 0 else (bottom_mm, bottom_mm + kept_mm)
    raise bad_input(
        "share_without_pancreas",
        f"the anatomy reaches {shortest_mm:.0f} mm beyond the gap above or below the pancreas",
        f"{low_mm:.0f} mm below and {length_mm - high_mm:.0f} mm above it",
        "Use an anatomy that covers more of the body, or set it to 0.",
    )


@dataclass(frozen=True)
class _Grid:
    """Centres of the scan's slices, rows and columns in mm from the first painted voxel's outer edge."""

    z_mm: Tensor
    y_mm: Tensor
    x_mm: Tensor
    increment_mm: float
    pixel_mm: float


def _draw_grid(
    density: Tensor,
    spacing_mm: float,
    length_mm: tuple[float, float],
    thickness_mm: float,
    generator: torch.Generator,
    settings: ScannerSettings,
) -> _Grid:
    """Return a grid around the body, from bottom to top in ``length_mm``."""
    device = density.device
    bottom_mm, top_mm = length_mm
    overlapping = chance(generator, settings.share_overlapping)
    step = uniform(generator, 0.5, 0.95) if overlapping else 1.0
    increment_mm = round(thickness_mm * step, 3)  # as DICOM's decimal text holds it
    slices = max(1, math.floor((top_mm - bottom_mm - thickness_mm) / increment_mm) + 1)
    z_mm = bottom_mm + thickness_mm / 2 + increment_mm * torch.arange(slices, device=device, dtype=torch.float32)

    body = (density > 500).any(0)
    sides_mm = [_extent(body.any(axis), spacing_mm) for axis in (1, 0)]
    widest_mm = max(high - low for low, high in sides_mm)
    cropped = chance(generator, settings.share_lateral_crop)
    view_mm = widest_mm * (uniform(generator, 0.78, 0.97) if cropped else uniform(generator, 1.02, 1.35))
    low, high = settings.in_plane_spacing_mm
    pixel_mm = round(min(max(uniform(generator, low, high), view_mm / settings.max_matrix), high), 4)
    pixels = max(8, min(settings.max_matrix, round(view_mm / pixel_mm)))
    offsets_mm = pixel_mm * (torch.arange(pixels, device=device, dtype=torch.float32) - (pixels - 1) / 2)
    middles_mm = [(low + high) / 2 + uniform(generator, -0.02, 0.02) * view_mm for low, high in sides_mm]
    y_mm = offsets_mm + middles_mm[0] - uniform(generator, 0.02, 0.09) * view_mm  # room for the table
    return _Grid(z_mm, y_mm, offsets_mm + middles_mm[1], increment_mm, pixel_mm)


def _extent(occupied: Tensor, spacing_mm: float) -> tuple[float, float]:
    """Low and high end in mm of the true entries; the whole row where there is none."""
    indices = occupied.nonzero()
    if len(indices) == 0:
        return 0.0, len(occupied) * spacing_mm
    return float(indices[0]) * spacing_mm, float(indices[-1] + 1) * spacing_mm


# Resampling -----------------------------------------------------------------------------------------------------------

Kernel = tuple[list[float], list[float]]
"""A point spread as offsets in mm and their weights, which sum to 1."""


def _gaussian(sigma_mm: float) -> Kernel:
    steps = [i / 2 for i in range(-5, 6)]
    weights = [math.exp(-0.5 * s * s) for s in steps]
    return [s * sigma_mm for s in steps], [w / sum(weights) for w in weights]


def _slab_average(thickness_mm: float) -> Kernel:
    count = max(3, 2 * math.ceil(thickness_mm) + 1)
    return [thickness_mm * ((i + 0.5) / count - 0.5) for i in range(count)], [1 / count] * count


def _ghost(kernel: Kernel, shift_mm: float) -> Kernel:
    """The kernel seen twice, as by a breath during the rotation."""
    if shift_mm == 0:
        return kernel
    offsets, weights = kernel
    return offsets + [o + shift_mm for o in offsets], [0.62 * w for w in weights] + [0.38 * w for w in weights]


def _sampling_matrix(
    positions_mm: Tensor, spacing_mm: float, count: int, kernel: Kernel, replicate: bool = False
) -> Tensor:
    """Return (positions, count) weights: linear interpolation averaged over a kernel.

    Beyond the painted grid there is air (rows sum to less than 1), or with ``replicate`` its last slice.
    """
    centres = torch.arange(count, device=positions_mm.device, dtype=torch.float32)
    matrix = positions_mm.new_zeros(len(positions_mm), count)
    for offset_mm, weight in zip(*kernel, strict=True):
        at = (positions_mm + offset_mm) / spacing_mm - 0.5
        at = at.clamp(0, count - 1) if replicate else at
        matrix += weight * (1 - (at[:, None] - centres).abs()).clamp_(min=0)
    return matrix


def _resample(volume: Tensor, slices: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
    """(Z, Y, X) to the grid of the matrices; slices first, as they are few."""
    thick = (slices @ volume.reshape(len(volume), -1)).reshape(len(slices), *volume.shape[1:])
    return rows @ (thick @ columns.T)


def _resample_label(label: Tensor, grid: _Grid, spacing_mm: float, thickness_mm: float) -> Tensor:
    """Return the class of largest share around each point of the grid, some slices at a time to save memory."""
    z_mm, y_mm, x_mm = grid.z_mm, grid.y_mm, grid.x_mm
    smooth = _gaussian(0.5 * spacing_mm)
    slices = _sampling_matrix(z_mm, spacing_mm, len(label), _slab_average(thickness_mm), replicate=True)
    rows = _sampling_matrix(y_mm, spacing_mm, label.shape[1], smooth)
    columns = _sampling_matrix(x_mm, spacing_mm, label.shape[2], smooth)
    boxes = ndimage.find_objects(label.cpu().numpy())
    result = label.new_zeros(len(z_mm), len(y_mm), len(x_mm))
    for start in range(0, len(z_mm), 16):
        chunk = slice(start, start + 16)
        result[chunk] = _largest_class(label, boxes, slices[chunk], rows, columns)
    return result


def _largest_class(label: Tensor, boxes: list[Any], slices: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
    shape = (len(slices), len(rows), len(columns))
    winner = label.new_zeros(shape)
    best, total = columns.new_zeros(shape), columns.new_zeros(shape)
    for value, box in enumerate(boxes, start=1):
        if box is None:
            continue
        to = [_rows_touched(matrix[:, inside]) for matrix, inside in zip((slices, rows, columns), box, strict=True)]
        if any(span is None for span in to):
            continue
        at = tuple(to)
        parts = [matrix[span, inside] for matrix, span, inside in zip((slices, rows, columns), to, box, strict=True)]
        share = _resample((label[box] == value).to(columns.dtype), *parts)
        ahead = share > best[at]
        winner[at] = torch.where(ahead, value, winner[at])
        best[at] = torch.maximum(best[at], share)
        total[at] += share
    return torch.where(1 - total > best, 0, winner)


def _rows_touched(matrix: Tensor) -> slice | None:
    rows = (matrix > 1e-6).any(1).nonzero()
    return slice(int(rows[0]), int(rows[-1]) + 1) if len(rows) else None


# Things that are not the patient --------------------------------------------------------------------------------------


def _lay_on_table(image: Tensor, pixel_mm: float, generator: torch.Generator) -> None:
    """Add a cushion and a thin curved shell with a lighter core below the back, the same in all slices."""
    _, rows, columns = image.shape
    device = image.device
    body = (image > 500).any(0)
    y_mm = pixel_mm * torch.arange(rows, device=device, dtype=torch.float32)
    x_mm = pixel_mm * (torch.arange(columns, device=device, dtype=torch.float32) - columns / 2)
    x_mm = x_mm + uniform(generator, -15, 15)
    half_width_mm, height_mm = uniform(generator, 190, 260), uniform(generator, 15, 60)
    skin_mm, cushion_mm = uniform(generator, 1.2, 4.0), uniform(generator, 2, 10)
    skin, core, cushion = uniform(generator, 450, 1350), uniform(generator, 20, 110), uniform(generator, 20, 130)
    rise_mm = x_mm**2 / (2 * uniform(generator, 280, 900))  # the rims bend up, to the front
    back_mm = torch.where(body, y_mm[:, None], torch.inf).amin(0)
    top_mm = (back_mm - rise_mm).amin() - uniform(generator, 1, 22) + rise_mm
    depth_mm = top_mm - y_mm[:, None]  # (Y, X) below the table's surface
    height_mm = height_mm * (1 - (x_mm / half_width_mm) ** 2).clamp(min=0)  # a crescent: the shells meet at the rims
    below_mm = depth_mm - height_mm

    padded = cushion * _soft(depth_mm + cushion_mm, pixel_mm) * _soft(-depth_mm, pixel_mm)
    upper = _soft(depth_mm, pixel_mm) * _soft(skin_mm - depth_mm, pixel_mm)
    lower = _soft(below_mm, pixel_mm) * _soft(skin_mm - below_mm, pixel_mm)
    inside = _soft(depth_mm, pixel_mm) * _soft(-below_mm, pixel_mm)
    table = torch.stack([padded, skin * upper, skin * lower, core * inside]).amax(0)
    table *= _soft(half_width_mm - x_mm.abs(), pixel_mm)
    torch.maximum(image, table, out=image)


def _soft(signed_mm: Tensor, pixel_mm: float) -> Tensor:
    """0 below zero, 1 above, over a pixel's width."""
    return (signed_mm / pixel_mm + 0.5).clamp(0, 1)


def _insert_metal(
    density: Tensor, label: Tensor, spacing_mm: float, generator: torch.Generator, settings: ScannerSettings
) -> tuple[list[Tensor], str]:
    """Write a clip, a stent or two spine screws into ``density``; return their ends in mm, (2, 3) as z, y, x each."""
    if not chance(generator, settings.share_metal):
        return [], "none"
    kind = ("clips", "stent", "screws")[_integer(generator, 3)]
    bone = density > 1250  # HU over 250
    middle = density.shape[2] // 2
    if kind == "screws":
        reach = round(15 / spacing_mm)
        bone[:, :, : middle - reach] = False
        bone[:, :, middle + reach :] = False
        bone[:, density.shape[1] // 2 :] = False
    allowed = {"clips": (label == CLASSES.index("liver")) | (label == CLASSES.index("gallbladder"))}
    allowed["stent"] = (label == CLASSES.index("duodenum")) | (label == PANCREAS)
    allowed["screws"] = bone
    places = allowed[kind].nonzero()
    if len(places) == 0:
        return [], "none"
    ends = []
    count = 1 + _integer(generator, 4) if kind == "clips" else 2 if kind == "screws" else 1
    start = places[_integer(generator, len(places))].float() * spacing_mm
    for side in range(count):
        length_mm = {"clips": 5.0, "stent": 60.0, "screws": 45.0}[kind] * uniform(generator, 0.7, 1.3)
        at = start + torch.tensor([uniform(generator, -12, 12) for _ in range(3)]).to(start) * (kind == "clips")
        if kind == "screws":
            at[2] = spacing_mm * middle + (14 if side else -14)
        tilt = {"screws": [0.0, 1.0, -0.25 if side else 0.25], "stent": [0.9, uniform(generator, -0.3, 0.3), 0.4]}
        way = torch.tensor(tilt.get(kind, [uniform(generator, -1, 1) for _ in range(3)])).to(start)
        end = at + length_mm * way / way.norm()
        radius_mm = {"clips": 1.2, "stent": 2.5, "screws": 2.8}[kind]
        _draw_rod(density, at, end, radius_mm, spacing_mm, hollow=kind == "stent")
        ends.append(torch.stack([at, end]))
    return ends, kind


def _draw_rod(density: Tensor, at: Tensor, end: Tensor, radius_mm: float, spacing_mm: float, hollow: bool) -> None:
    margin = radius_mm + spacing_mm
    low = ((torch.minimum(at, end) - margin) / spacing_mm).long().clamp(min=0).tolist()
    high = ((torch.maximum(at, end) + margin) / spacing_mm + 1).long().tolist()
    box = tuple(slice(a, max(a, b)) for a, b in zip(low, high, strict=True))
    if 0 in density[box].shape:
        return
    axes = [
        (torch.arange(n, device=density.device, dtype=torch.float32) + a + 0.5) * spacing_mm
        for n, a in zip(density[box].shape, low, strict=True)
    ]
    points = torch.stack(torch.meshgrid(*axes, indexing="ij"), -1)
    along = ((points - at) @ (end - at) / (end - at).square().sum()).clamp(0, 1)
    distance_mm = (points - (at + along[..., None] * (end - at))).norm(dim=-1)
    filled = _soft(radius_mm - distance_mm, spacing_mm)
    if hollow:
        filled = filled * _soft(distance_mm - radius_mm + 1.2, spacing_mm)
    density[box] += filled * (4500.0 - density[box]).clamp(min=0)


# Noise and artefacts --------------------------------------------------------------------------------------------------


def _add_noise(
    image: Tensor,
    pixel_mm: float,
    noise_hu: float,
    peak_per_mm: float,
    overlap: float,
    starvation: bool,
    generator: torch.Generator,
) -> None:
    """Add noise of mean standard deviation ``noise_hu`` over the body, more of it where rays cross more tissue."""
    source = _generator_on(image.device, generator)
    per_pixel = WATER_PER_MM * pixel_mm / 1000
    across, down = image.sum(2) * per_pixel, image.sum(1) * per_pixel  # (Z, Y) and (Z, X) attenuation lengths
    level = (0.18 * across).clamp(max=3).exp()[:, :, None] + (0.18 * down).clamp(max=3).exp()[:, None, :]
    inside = image > 500
    usual = float(level[inside].mean()) if bool(inside.any()) else 1.0
    noise = _filtered_noise(image.shape, pixel_mm, peak_per_mm, source)
    if overlap > 0:  # neighbouring slices share rays
        side = 0.5 * overlap
        shared = noise.clone()
        shared[1:] += side * noise[:-1]
        shared[:-1] += side * noise[1:]
        noise = shared / math.sqrt(1 + 2 * side * side)
    noise *= level.mul_(noise_hu / usual)
    image += noise
    if starvation:
        excess = (across - across[across > 1].median()).clamp(min=0) if bool((across > 1).any()) else across
        image += _horizontal_streaks(excess * uniform(generator, 2, 9), image.shape[2], pixel_mm, source)


def _filtered_noise(shape: torch.Size, pixel_mm: float, peak_per_mm: float, source: torch.Generator) -> Tensor:
    r"""Unit noise with the power :math:`f\,e^{-f^2/2p^2}` of filtered back-projection in the plane.

    Ramp filter and soft window, after Riederer et al. 1978 (Phys Med Biol 23:446); ``peak_per_mm`` is :math:`p`.
    Two slices come from one complex transform.
    """
    slices, rows, columns = shape
    device = source.device
    along_rows = torch.fft.fftfreq(rows, pixel_mm, device=device)
    along_columns = torch.fft.fftfreq(columns, pixel_mm, device=device)
    frequency = (along_rows[:, None] ** 2 + along_columns**2).sqrt()
    power = frequency * torch.exp(-0.5 * (frequency / peak_per_mm) ** 2) + 0.03 * peak_per_mm * (
        frequency < peak_per_mm
    )
    spectrum = (power / power.mean()).sqrt() * math.sqrt(rows * columns)
    noise = torch.empty(shape, device=device)
    for first in range(0, slices, 2):
        white = torch.randn((rows, columns, 2), generator=source, device=device)
        pair = torch.fft.ifft2(torch.view_as_complex(white) * spectrum)
        noise[first] = pair.real
        if first + 1 < slices:
            noise[first + 1] = pair.imag
    return noise


def _horizontal_streaks(strength_hu: Tensor, columns: int, pixel_mm: float, source: torch.Generator) -> Tensor:
    """Noise of (Z, Y) strength that is fine across the streaks and some 6 cm long along them."""
    knots = max(2, math.ceil(columns * pixel_mm / 60) + 1)
    white = torch.randn((*strength_hu.shape, knots), generator=source, device=strength_hu.device)
    white[:, 1:] = 0.7 * white[:, 1:] + 0.7 * white[:, :-1]
    return strength_hu[..., None] * torch.nn.functional.interpolate(white, columns, mode="linear", align_corners=True)


def _add_star(image: Tensor, grid: _Grid, ends_mm: Tensor, generator: torch.Generator) -> None:
    """Add bright and dark rays around the cut of a metal rod, in the slices that hold it."""
    z_mm, y_mm, x_mm = grid.z_mm, grid.y_mm, grid.x_mm
    source = _generator_on(image.device, generator)
    strength_hu = uniform(generator, 60, 260)
    low_mm, high_mm = sorted(ends_mm[:, 0].tolist())
    held = ((z_mm > low_mm - 3) & (z_mm < high_mm + 3)).nonzero().flatten().tolist()
    for index in held:
        along = ((float(z_mm[index]) - low_mm) / max(high_mm - low_mm, 1.0)) if high_mm - low_mm > 6 else 0.5
        lower, upper = (ends_mm[0], ends_mm[1]) if ends_mm[0, 0] <= ends_mm[1, 0] else (ends_mm[1], ends_mm[0])
        at = lower + min(max(along, 0.0), 1.0) * (upper - lower)
        dy, dx = (y_mm - at[1])[:, None], (x_mm - at[2])[None]
        angle = torch.atan2(dy, dx) / math.pi % 1.0 * 96
        rays = torch.randn(97, generator=source, device=image.device)
        rays = rays * rays.abs()
        rays[96] = rays[0]  # a ray goes through the metal to the other side
        left = angle.floor().long().clamp(max=95)
        ray = torch.lerp(rays[left], rays[left + 1], angle - left)
        distance_mm = (dy**2 + dx**2).sqrt()
        image[index] += strength_hu * ray * (distance_mm / 4).clamp(max=1) / (1 + distance_mm / 18)


def _pad_outside_circle(image: Tensor) -> None:
    _, rows, columns = image.shape
    y = torch.arange(rows, device=image.device) - (rows - 1) / 2
    x = torch.arange(columns, device=image.device) - (columns - 1) / 2
    radius = min(rows, columns) / 2
    image.masked_fill_(y[:, None] ** 2 + x**2 > radius**2, PADDING_HU)


# Storing --------------------------------------------------------------------------------------------------------------


def _reorient(array: np.ndarray, affine: np.ndarray, axcodes: str) -> tuple[np.ndarray, np.ndarray]:
    """Reorder a RAS array to ``axcodes``; every voxel stays where it is in the world."""
    change = nib.orientations.ornt_transform(
        nib.orientations.axcodes2ornt("RAS"), nib.orientations.axcodes2ornt(axcodes)
    )
    reordered = nib.orientations.apply_orientation(array, change)
    return reordered, affine @ nib.orientations.inv_ornt_aff(change, array.shape)
