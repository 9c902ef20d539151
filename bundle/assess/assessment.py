"""Everything that is said about a mask before it is written: measurements, findings, the outcome and its reasons."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Any

from monai.config import KeysCollection
from monai.data import MetaTensor
from monai.transforms import MapTransform

from bundle.assess.anatomy import anatomy_findings
from bundle.assess.border import touched_sides
from bundle.assess.intensities import intensity_findings
from bundle.assess.outcome import decide
from bundle.cascade.report import NOT_FOUND, OK, CascadeReport
from bundle.measure import measure
from bundle.quality.predict import predict_dice
from bundle.read.finding import CLICKS, input_findings

ASSESSMENT_KEY = "assessment"


def assess(mask: MetaTensor, image: MetaTensor) -> dict[str, Any]:
    """Return ``outcome``, ``reasons``, ``findings``, ``measurements`` and ``predicted_dice`` as what JSON can hold.

    Args:
        mask: (1, X, Y, Z) on the grid of the image, with ``meta["cascade"]``; empty where nothing was found, then the
            outcome is never ``ok``.
        image: (1, X, Y, Z) in HU.
    """
    cascade = CascadeReport.from_json(mask.meta["cascade"]) if "cascade" in mask.meta else CascadeReport()
    if cascade.outcome == OK and not mask.any():
        cascade.outcome, cascade.reason = NOT_FOUND, "the mask is empty"
    findings = [*input_findings(image.meta), *intensity_findings(image), *anatomy_findings(cascade.organs)]
    predicted_dice = predict_dice(cascade.opinions)
    measurements = measure(mask, image)
    # Who corrected a mask by clicks has judged its size.
    volume_ml = None if any(finding["name"] == CLICKS for finding in findings) else measurements["volume_ml"]
    outcome, reasons = decide(cascade, touched_sides(mask), findings, predicted_dice, volume_ml)
    return {
        "outcome": outcome,
        "reasons": reasons,
        "findings": findings,
        "measurements": {name: _rounded(value) for name, value in measurements.items()},
        "predicted_dice": _rounded(predicted_dice),
    }


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 3)


class Assessd(MapTransform):
    """Leave what :func:`assess` says in ``data["assessment"]``.

    Args:
        keys: masks on the grid of the image; of several keys the last one stays.
        image_key: the scan.
    """

    def __init__(self, keys: KeysCollection, image_key: str = "image", allow_missing_keys: bool = False) -> None:
        super().__init__(keys, allow_missing_keys)
        self.image_key = image_key

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        d = dict(data)
        for key in self.key_iterator(d):
            d[ASSESSMENT_KEY] = assess(d[key], d[self.image_key])
        return d
