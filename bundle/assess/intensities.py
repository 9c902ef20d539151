"""What the Hounsfield units of a scan tell: padding, metal, a shifted or clipped scale."""

from __future__ import annotations

import numpy as np
from monai.data import MetaTensor

from bundle.read.finding import Finding, note, warning

PADDING_MAX_HU = -1100
"""No tissue and no air is below: scanners fill what lies outside their circle with -2000, -2048 or -3024."""

METAL_MIN_HU = 2800
"""Above compact bone and dense contrast medium."""

AIR_HU = (-1100, -700)
AIR_TOLERANCE_HU = 60
CLIPPED_AIR_MIN_HU = -650

_SAMPLES_PER_AXIS = 160


def intensity_findings(image: MetaTensor) -> list[Finding]:
    """Return what is odd about the values of a scan (1, X, Y, Z) in HU; every n-th voxel is looked at."""
    array = image.as_tensor()[0].numpy() if isinstance(image, MetaTensor) else np.asarray(image)[0]
    sample = array[tuple(slice(None, None, max(1, size // _SAMPLES_PER_AXIS)) for size in array.shape)]
    checks = (_padding, _metal, _shifted_air, _clipped_air)
    return [finding for check in checks if (finding := check(sample)) is not None]


def _padding(sample: np.ndarray) -> Finding | None:
    share = float((sample < PADDING_MAX_HU).mean())
    if share < 0.001:
        return None
    text = f"{share:.0%} of the voxels are filled in (lowest {sample.min():g} HU), taken as air"
    return note("padding", text)


def _metal(sample: np.ndarray) -> Finding | None:
    share = float((sample > METAL_MIN_HU).mean())
    if share < 2e-5:
        return None
    text = f"metal or very dense contrast ({share:.2%} of the voxels above {METAL_MIN_HU} HU): streaks may disturb"
    return note("metal", text)


def _shifted_air(sample: np.ndarray) -> Finding | None:
    """Air around the patient is the most frequent value below the lungs' -700; it should be -1000."""
    air = sample[(sample >= AIR_HU[0]) & (sample < AIR_HU[1])]
    if air.size < 0.01 * sample.size:
        return None
    counts, edges = np.histogram(air, bins=np.arange(AIR_HU[0], AIR_HU[1] + 10, 10))
    peak = float(edges[counts.argmax()] + 5)
    if abs(peak + 1000) <= AIR_TOLERANCE_HU:
        return None
    text = f"air is at about {peak:.0f} HU instead of -1000: the scale may be shifted, as may all values in HU"
    return warning("shifted_scale", text)


def _clipped_air(sample: np.ndarray) -> Finding | None:
    low = float(sample.min())
    if low <= CLIPPED_AIR_MIN_HU or float((sample == low).mean()) < 0.05:
        return None
    return note("clipped", f"values are cut off at {low:g} HU: the scan was windowed before")
