"""Clicks on their way through the pipeline: checked when the scan is read, obeyed when the mask is made."""

from __future__ import annotations

import time
from collections.abc import Hashable, Mapping
from typing import Any

import numpy as np
import torch
from monai.config import KeysCollection
from monai.data import MetaTensor
from monai.transforms import MapTransform, Transform

from bundle.cascade.report import OK, WITHOUT_MASK, CascadeReport
from bundle.clicks.geodesic import GeodesicRefinement
from bundle.clicks.points import KINDS, Clicks, mm_to_voxels, read_clicks, voxels_to_mm
from bundle.errors import bad_input
from bundle.geometry import as_size, spacing_of
from bundle.read.finding import CLICKS
from bundle.read.finding import META_KEY as FINDINGS_KEY
from bundle.read.finding import input_findings, note, to_text
from bundle.write.invert import REPORT_KEY

CLICKS_KEY = "clicks_mm"

_PROBABILITY = "{}_probability"


class PlaceClicksd(Transform):
    """Check the clicks in ``data["foreground"]`` and ``data["background"]`` and leave them, in mm, in ``"clicks_mm"``.

    The lists hold voxels (x, y, z) of the scan as it was read, counted from 0: what MONAI Label's viewers send, and
    indices of the mask that is written. So it has to come right after the scan is read, and in mm they last until the
    mask is made. Without clicks nothing is left.

    Args:
        image_key: the scan (1, X, Y, Z) on its own grid.
    """

    def __init__(self, image_key: str = "image") -> None:
        self.image_key = image_key

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Return the data, with clicks in mm if there are any.

        Raises:
            InputError: what :func:`~bundle.clicks.points.read_clicks` refuses.
        """
        d = dict(data)
        scan: MetaTensor = d[self.image_key]
        clicks = read_clicks(d, as_size(scan.shape[1:]), scan.meta.get("filename_or_obj", "clicks"))
        if len(clicks):
            affine = np.asarray(scan.affine, dtype=float)
            d[CLICKS_KEY] = {kind: voxels_to_mm(getattr(clicks, kind), affine) for kind in KINDS}
        return d


class KeepProbabilityForClicksd(MapTransform):
    """If there are clicks, keep probabilities in ``data["<key>_probability"]`` for :class:`RefineWithClicksd`.

    Args:
        keys: probabilities, about to become masks.
    """

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        d = dict(data)
        if CLICKS_KEY in d:
            for key in self.key_iterator(d):
                d[_PROBABILITY.format(key)] = d[key]
        return d


class RefineWithClicksd(MapTransform):
    """Correct masks by clicks; without clicks nothing changes.

    It comes after small components were dropped, so that none that was clicked is, and before the mask is assessed.
    Where the cascade found nothing, what the clicks bring is a mask found by a fallback, so of low confidence. The
    number of clicks joins the findings about the scan. What localizer and segmenter think of the mask is dropped from
    ``meta["cascade"]``: the quality that is predicted from it was that of another mask.

    Args:
        keys: masks (1, X, Y, Z), as MetaTensor, on the grid of the image.
        image_key: the scan in HU.
        threshold: least probability of the organ.
        refinement: how a mask is corrected.
    """

    def __init__(
        self,
        keys: KeysCollection,
        image_key: str = "image",
        threshold: float = 0.5,
        refinement: GeodesicRefinement | None = None,
        allow_missing_keys: bool = False,
    ) -> None:
        super().__init__(keys, allow_missing_keys)
        self.image_key = image_key
        self.threshold = threshold
        self.refinement = refinement or GeodesicRefinement()

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        d = dict(data)
        clicks_mm = d.pop(CLICKS_KEY, None)
        if clicks_mm is None:
            return d
        for key in self.key_iterator(d):
            probability = d.pop(_PROBABILITY.format(key), None)
            if probability is None:
                rule = "KeepProbabilityForClicksd comes before the probabilities become a mask"
                raise bad_input("postprocessing", rule, "none", "Add it before AsDiscreted.")
            d[key] = self._refined(d[key], probability, d[self.image_key], clicks_mm)
        return d

    def _refined(
        self, mask: MetaTensor, probability: MetaTensor, image: MetaTensor, clicks_mm: Mapping[str, list[list[float]]]
    ) -> MetaTensor:
        started = time.perf_counter()
        affine = np.asarray(mask.affine, dtype=float)
        points = {kind: mm_to_voxels(clicks_mm[kind], affine) for kind in KINDS}
        clicks = read_clicks(points, as_size(mask.shape[1:]), image.meta.get("filename_or_obj", "clicks"))
        before = _array(mask) > 0
        spacing_mm = spacing_of(affine)
        after = self.refinement(_array(probability), before, _array(image), spacing_mm, clicks, self.threshold)
        refined = MetaTensor(torch.from_numpy(after)[None].to(mask.device, mask.dtype), meta=dict(mask.meta))
        _tell_in_findings(image, clicks, before, after, float(np.prod(spacing_mm)) / 1000)
        _tell_in_report(refined, bool(after.any()), time.perf_counter() - started)
        return refined


def _array(volume: MetaTensor) -> np.ndarray:
    return volume.as_tensor()[0].detach().cpu().numpy()


def _tell_in_findings(
    image: MetaTensor, clicks: Clicks, before: np.ndarray, after: np.ndarray, voxel_ml: float
) -> None:
    added_ml, removed_ml = (float((a & ~b).sum()) * voxel_ml for a, b in ((after, before), (before, after)))
    text = (
        f"corrected by clicks, {len(clicks.foreground)} foreground and {len(clicks.background)} background: "
        f"{added_ml:.1f} ml added, {removed_ml:.1f} ml removed"
    )
    others = [finding for finding in input_findings(image.meta) if finding["name"] != CLICKS]
    image.meta[FINDINGS_KEY] = to_text([*others, note(CLICKS, text)])


def _tell_in_report(mask: MetaTensor, found: bool, seconds: float) -> None:
    if REPORT_KEY not in mask.meta:
        return
    cascade = CascadeReport.from_json(mask.meta[REPORT_KEY])
    cascade.opinions = {}
    cascade.seconds["clicks"] = seconds
    if cascade.outcome in WITHOUT_MASK and found:
        cascade.reason = f"{cascade.reason}; the mask is what the clicks show"
        cascade.outcome, cascade.fallback = OK, "clicks"
    mask.meta[REPORT_KEY] = cascade.to_json()
