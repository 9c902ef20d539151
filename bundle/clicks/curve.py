"""Dice after 0, 1, 2, ... clicks of a simulated user, on scans whose truth is known."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from bundle.cleanup import keep_components
from bundle.clicks.ball import paint_balls
from bundle.clicks.geodesic import GeodesicRefinement
from bundle.clicks.points import Clicks
from bundle.clicks.simulate import Correct, click_through
from bundle.errors import bad_input
from bundle.evaluation.real_ct import CASES
from bundle.geometry import spacing_of
from bundle.preprocess import to_ras
from bundle.quality.opinions import dice
from bundle.read import case_name, load_datalist, read_label
from bundle.segmentation import Segmenter

GEODESIC, BALL = "geodesic", "ball_{:g}mm"


@dataclass(frozen=True)
class Truth:
    """A scan, and where its truth is.

    Args:
        case: its name.
        image: file of the scan.
        label: file of the truth, on the same grid.
        value: of the pancreas in it.
    """

    case: str
    image: Path
    label: Path
    value: int = 1


def rendered_scans(data: Path, section: str, skip: int = 0) -> list[Truth]:
    """Return the scans of a section of a data set but for the first ``skip``."""
    cases = load_datalist(data, section)[skip:]
    return [Truth(case_name(case["image"]), Path(case["image"]), Path(case["label"])) for case in cases]


def real_scans(data: Path) -> list[Truth]:
    """Return the real scans at hand that have a label; those that are not in the folder are left out."""
    cases = [case for case in CASES if case.label is not None and (data / case.image).is_file()]
    return [Truth(case.name, data / case.image, data / str(case.label), case.value) for case in cases]


def curves(scans: Sequence[Truth], count: int, balls_mm: Sequence[float], device: str) -> Iterator[dict[str, Any]]:
    """Yield rows (``case``, ``method``, ``dice_0``, ``dice_1``, ...), for each scan one per method.

    The network is asked once per scan. A user who has nothing left to correct does not click: the Dice stays. Scans
    without pancreas are left out.

    Args:
        scans: to click in.
        count: of clicks.
        balls_mm: radii of :func:`~bundle.clicks.ball.paint_balls` to compare with.
        device: ``auto``, ``cpu`` or ``cuda``.

    Raises:
        InputError: scan and truth have different shapes, or one of them cannot be read.
    """
    segmenter = Segmenter(device=device)
    for scan in scans:
        truth = np.asarray(to_ras(read_label(scan.label))[0]) == scan.value
        if not truth.any():
            continue
        spacing_mm, methods = _methods(segmenter, scan, truth.shape, balls_mm)
        for method, correct in methods.items():
            found = [dice(mask, truth) for _, mask in click_through(correct, truth, spacing_mm, count)]
            found += found[-1:] * (count + 1 - len(found))
            yield {"case": scan.case, "method": method} | {f"dice_{k}": value for k, value in enumerate(found)}


def _methods(
    segmenter: Segmenter, scan: Truth, shape: tuple[int, ...], balls_mm: Sequence[float]
) -> tuple[tuple[float, float, float], dict[str, Correct]]:
    """Return the spacing of the scan in RAS order, and what answers clicks in it, by name."""
    data = segmenter.preprocessing({"image": str(scan.image), "case": scan.case})
    image = data["image"]
    if tuple(image.shape[1:]) != shape:
        received = f"{tuple(image.shape[1:])} and {shape}"
        raise bad_input(scan.label, "scan and label have the same shape", received, "Give the label of this scan.")
    pred = segmenter.inferer(image[None], segmenter.network)[0, 0].as_tensor().cpu()
    threshold, min_share, fill = (
        segmenter.parser.get_parsed_content(key) for key in ("threshold", "min_share", "fill_holes")
    )
    mask = keep_components(pred >= threshold, min_share, fill_holes=fill).numpy()
    spacing_mm = spacing_of(image.affine)
    network = _Corrected(GeodesicRefinement(), pred.numpy(), mask, image[0].numpy(), spacing_mm, threshold)
    methods: dict[str, Correct] = {GEODESIC: network}
    for radius_mm in balls_mm:
        methods[BALL.format(radius_mm)] = partial(_ball, mask, spacing_mm, radius_mm)
    return spacing_mm, methods


@dataclass(frozen=True)
class _Corrected:
    """All that :class:`GeodesicRefinement` needs but for the clicks."""

    refinement: GeodesicRefinement
    probability: np.ndarray
    mask: np.ndarray
    image_hu: np.ndarray
    spacing_mm: tuple[float, float, float]
    threshold: float

    def __call__(self, clicks: Clicks) -> np.ndarray:
        return self.refinement(self.probability, self.mask, self.image_hu, self.spacing_mm, clicks, self.threshold)


def _ball(mask: np.ndarray, spacing_mm: Sequence[float], radius_mm: float, clicks: Clicks) -> np.ndarray:
    return paint_balls(mask, spacing_mm, clicks, radius_mm)
