"""Localize on the whole scan, segment the regions found, paste the result back."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from monai.data import MetaTensor
from monai.inferers import Inferer
from torch import nn

from bundle.cascade.fallback import Fallback
from bundle.cascade.finding import Needed, Views
from bundle.cascade.fusion import Fusion, RegionPrediction, Replace, on_scan_grid
from bundle.cascade.growth import Growth
from bundle.cascade.region import Localization, Region, at_voxels, whole_scan
from bundle.cascade.report import NOT_FOUND, OK, OUTSIDE_FIELD_OF_VIEW, CascadeReport
from bundle.cascade.stage import Stage, StageOutput
from bundle.cascade.view import FieldOfView
from bundle.errors import bad_input
from bundle.geometry import Box, Grid
from bundle.memory import peak_memory_mb
from bundle.preprocess import grid_of, resample
from bundle.quality.opinions import opinions


@dataclass(frozen=True)
class CascadeResult:
    """Everything a cascade found out about one scan.

    Args:
        pred: (1, K, X, Y, Z) foreground probabilities on the scan's own grid.
        localization: the localizer's answer, None without a localizer.
        extra: per region, the segmenter's other heads by name, on the segmenter's grid over the region.
        report: outcome, boxes, seconds.
    """

    pred: MetaTensor
    localization: Localization | None
    extra: list[dict[str, torch.Tensor]]
    report: CascadeReport

    @property
    def coarse(self) -> torch.Tensor | None:
        """The localizer's probability of its first class (1, 1, X, Y, Z) on the scan's own grid."""
        if self.localization is None:
            return None
        return resample(self.localization.probability[:1], self.localization.scan_grid.size)[None]


@dataclass(frozen=True)
class _Finding:
    """Probabilities (K, X, Y, Z) of the whole scan on the CPU, what localizer and other heads said."""

    pred: torch.Tensor
    localization: Localization | None = None
    extra: list[dict[str, torch.Tensor]] = field(default_factory=list)


class CascadeInferer(Inferer):
    """A coarse-to-fine cascade, called as MONAI calls inferers, with the segmenter as the network.

    Only the regions are ever resampled to the segmenter's spacing, and only the kept classes' probabilities inside the
    regions are resampled back.

    Args:
        segment: how the segmenter sees a region.
        localizer: the coarse network; None segments the whole scan.
        localize: how the localizer sees the scan; of several stages, the next one looks where the rule finds nothing
            in the last one's answer (a finer grid shows a small patient as large as the localizer expects).
        region_rule: the localizer's answer to the regions to segment.
        fusion: the regions' predictions to one answer; by default the segmenter's probabilities as they are.
        fallbacks: tried one after the other where the rule finds no region; without any the outcome is ``not_found``,
            with an empty mask.
        field_of_view: which organs the localizer must see; where it doesn't and the organ isn't found either, the
            outcome is ``outside_field_of_view``. Not asked of a localizer that sees no organs.
        growth: makes a region larger where the organ reaches its wall, and has it segmented again; None never does.
        min_volume_ml: a mask of no more than this volume counts as not found and becomes empty.
        min_agreement_ml: so does one of which localizer and second look find no more than this volume, too: in scans
            without the organ all see some, but seldom in the same place. Not asked without a localizer, or of a
            fallback.
        threshold: least probability of all masks.
        opinions: whether to tell in the report how far the networks' answers agree, see :mod:`bundle.quality`.
        second_look: how the segmenter sees the region once more for both, such as on a coarser grid; None doesn't.
    """

    def __init__(
        self,
        segment: Stage,
        localizer: nn.Module | None = None,
        localize: Stage | Sequence[Stage] = (),
        region_rule: Callable[[Localization], list[Region]] | None = None,
        fusion: Fusion | None = None,
        fallbacks: Sequence[Fallback] = (),
        field_of_view: FieldOfView | None = None,
        growth: Growth | None = None,
        min_volume_ml: float = 0.0,
        min_agreement_ml: float = 0.0,
        threshold: float = 0.5,
        opinions: bool = False,
        second_look: Stage | None = None,
    ) -> None:
        super().__init__()
        stages = (localize,) if isinstance(localize, Stage) else tuple(localize)
        if localizer is not None and (not stages or region_rule is None):
            raise ValueError("a localizer needs both 'localize' and 'region_rule'")
        self.segment = segment
        self.localizer = localizer
        self.localize = stages
        self.region_rule = region_rule
        self.fusion = fusion or Replace()
        self.fallbacks = tuple(fallbacks)
        self.field_of_view = field_of_view
        self.growth = growth
        self.min_volume_ml = min_volume_ml
        self.min_agreement_ml = min_agreement_ml
        self.threshold = threshold
        self.opinions = opinions
        self.second_look = second_look

    def __call__(  # type: ignore[override]  # MONAI allows any callable; a cascade asks the network for its device
        self, inputs: MetaTensor, network: nn.Module, *args: Any, **kwargs: Any
    ) -> MetaTensor:
        """Return the foreground probabilities (1, K, X, Y, Z) for a scan (1, 1, X, Y, Z) in HU, RAS-ordered.

        ``meta["cascade"]`` of the result is the :class:`CascadeReport` as JSON text.
        """
        return self.run(inputs, network).pred

    @torch.inference_mode()
    def run(self, inputs: MetaTensor, network: nn.Module, regions: Sequence[Region] | None = None) -> CascadeResult:
        """Return everything the cascade finds out about ``inputs`` (1, 1, X, Y, Z).

        Args:
            inputs: the scan in HU, a MetaTensor that knows its affine.
            network: the segmenter.
            regions: segment these as they are, without asking the localizer.
        """
        scan, grid = _scan_and_grid(inputs)
        report = CascadeReport()
        if regions is not None:
            finding = self._examine(scan, grid, regions, network, report, Needed(self.min_volume_ml))
        else:
            finding = self._find(scan, grid, network, report)
        report.peak_memory_mb = peak_memory_mb()
        # A network output carries no history of transforms: the image's own is what gets inverted.
        meta = dict(inputs.meta) | {"cascade": report.to_json()}
        return CascadeResult(MetaTensor(finding.pred[None], meta=meta), finding.localization, finding.extra, report)

    def _find(self, scan: torch.Tensor, grid: Grid, network: nn.Module, report: CascadeReport) -> _Finding:
        """Return what the cascade says of the whole scan, by the first way that finds the organ."""
        localization, regions = self._localize(scan, grid, report)
        view = self.field_of_view if report.organs else None
        outside = view.missing(report.organs) if view else ""
        if view and outside and (not regions or view.is_far(report.organs)):
            report.outcome, report.reason = OUTSIDE_FIELD_OF_VIEW, outside
            return _Finding(self._nothing(grid), localization)
        if regions or localization is None:
            needed = Needed(self.min_volume_ml, self.min_agreement_ml)
            finding = self._examine(scan, grid, regions, network, report, needed, self.growth, localization)
            if outside and report.outcome == NOT_FOUND:
                report.outcome, report.reason = OUTSIDE_FIELD_OF_VIEW, outside
            return finding
        best = float(localization.probability.max())
        for fallback in self.fallbacks:
            report.outcome, report.boxes, report.fallback = OK, [], fallback.name
            others, needed = fallback.region_rule(localization), Needed(fallback.min_volume_ml)
            finding = self._examine(scan, grid, others, network, report, needed, self.growth, localization)
            if report.outcome == OK:
                report.reason = f"the localizer found no pancreas; {fallback.name} did"
                return finding
        report.outcome, report.fallback = NOT_FOUND, ""
        report.reason = f"the localizer found no pancreas in the scan (largest probability {best:.2f})"
        return _Finding(self._nothing(grid), localization)

    def _localize(
        self, scan: torch.Tensor, grid: Grid, report: CascadeReport
    ) -> tuple[Localization | None, Sequence[Region]]:
        """Return the answer of the last localizing stage asked, and its regions; the report gets the organs."""
        if self.localizer is None or self.region_rule is None:
            return None, whole_scan(grid)
        device = next(self.localizer.parameters()).device
        for stage in self.localize:
            with report.timed("localize", device):
                output = stage(scan, grid, grid.box, self.localizer.eval())
                localization = Localization(output.probability, output.grid, grid)
            report.organs = output.organs
            with report.timed("region", device):
                regions = self.region_rule(localization)
            if regions:
                break
        return localization, regions

    def _examine(
        self,
        scan: torch.Tensor,
        grid: Grid,
        regions: Sequence[Region],
        network: nn.Module,
        report: CascadeReport,
        needed: Needed,
        growth: Growth | None = None,
        localization: Localization | None = None,
    ) -> _Finding:
        """Return what the segmenter finds in the regions; the report says whether that is enough."""
        device = next(network.parameters()).device
        predictions, extra = self._segment(scan, grid, regions, growth, network, report)
        pred = self._nothing(grid)
        if not predictions:
            report.outcome, report.reason = NOT_FOUND, "there is no region to segment"
            return _Finding(pred, localization, extra)
        with report.timed("paste", device):
            box, probability = self.fusion(predictions, localization)
            coarse = None if localization is None else _coarse_probability(box, localization)
            views = Views(grid.voxel_ml, self.threshold, probability.amax(dim=0), coarse)
        doubt = needed.doubt_of_volume(views)
        if not doubt and self.second_look is not None and (self.opinions or needed.agreement_ml):
            with report.timed("second_look", device):
                again = self.second_look(scan, grid, box, network)
                views.again = on_scan_grid(again.probability, Region(box)).probability.amax(dim=0)
        doubt = doubt or needed.doubt_of_agreement(views)
        if doubt:
            report.outcome, report.reason = NOT_FOUND, doubt
            return _Finding(pred, localization, extra)
        with report.timed("paste", device):
            box.crop(pred)[...] = probability.cpu()
            if self.opinions:
                report.opinions = opinions(views.fine, box, grid, coarse, views.again, self.threshold)
        return _Finding(pred, localization, extra)

    def _segment(
        self,
        scan: torch.Tensor,
        grid: Grid,
        regions: Sequence[Region],
        growth: Growth | None,
        network: nn.Module,
        report: CascadeReport,
    ) -> tuple[list[RegionPrediction], list[dict[str, torch.Tensor]]]:
        """Return what the segmenter says of each region, grown where need be; the report gets the final boxes."""
        device = next(network.parameters()).device
        predictions, extra = [], []
        for region in regions:
            with report.timed("segment", device):
                region, output = self._segment_region(scan, grid, region, growth, network)
            report.boxes.append(region.box)
            with report.timed("paste", device):
                predictions.append(on_scan_grid(output.probability, region))
            extra.append(output.extra)
        return predictions, extra

    def _segment_region(
        self, scan: torch.Tensor, grid: Grid, region: Region, growth: Growth | None, network: nn.Module
    ) -> tuple[Region, StageOutput]:
        output = self.segment(scan, grid, region.box, network)
        if growth is not None:
            for _ in range(growth.times):
                grown = growth(region, output.probability, grid)
                if grown is None:
                    break
                region, output = grown, self.segment(scan, grid, grown.box, network)
        return region, output

    def _nothing(self, grid: Grid) -> torch.Tensor:
        return torch.zeros(len(self.segment.channels), *grid.size)


def _coarse_probability(box: Box, localization: Localization) -> torch.Tensor:
    """Return the localizer's probability (X, Y, Z) at the voxels of ``box`` of the scan."""
    probability, grid = localization.probability.amax(dim=0), localization.grid
    return at_voxels(probability, grid.box, grid, box, localization.scan_grid)


def _scan_and_grid(inputs: MetaTensor) -> tuple[torch.Tensor, Grid]:
    """Return the scan (1, X, Y, Z) as a plain tensor, and its grid."""
    if inputs.ndim != 5 or inputs.shape[0] != 1 or inputs.shape[1] != 1:
        rule = "a cascade takes one scan of one channel at a time, (1, 1, X, Y, Z)"
        raise bad_input("inputs", rule, tuple(inputs.shape), "Use a batch size of 1.")
    if not isinstance(inputs, MetaTensor):
        raise bad_input("inputs", "a scan must know its spacing", "a plain tensor", "Pass a MetaTensor with an affine.")
    scan: MetaTensor = inputs[0]  # type: ignore[assignment]
    if scan.affine.ndim == 3:  # collated by a data loader: one affine per scan
        scan.affine = scan.affine[0]
    return scan.as_tensor(), grid_of(scan)
