"""Engine that runs every scan through the cascade, and again with what it is compared to."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from monai.data import MetaTensor, decollate_batch
from monai.engines import SupervisedEvaluator
from monai.engines.utils import IterationEvents
from monai.utils.enums import CommonKeys

from bundle.cascade.inferer import CascadeResult
from bundle.cascade.region import Region, whole_scan
from bundle.cascade.report import CascadeReport
from bundle.memory import reset_peak_memory
from bundle.preprocess import grid_of

PRED_KEYS = {
    "coarse": "pred_coarse",
    "fine": CommonKeys.PRED,
    "fine_true_region": "pred_true_region",
    "whole_scan": "pred_whole_scan",
}
"""Key of ``engine.state.output`` that holds the probability of a stage, (1, 1, X, Y, Z) on the scan's grid."""

REPORT_KEYS = {
    "coarse": "report",
    "fine": "report",
    "fine_true_region": "report_true_region",
    "whole_scan": "report_whole_scan",
}
"""Key of ``engine.state.output`` that holds the :class:`~bundle.cascade.report.CascadeReport` of a stage."""


class CascadeEvaluator(SupervisedEvaluator):
    """Evaluate a :class:`~bundle.cascade.CascadeInferer` by stage, one scan at a time.

    ``engine.state.output`` gets the image and label and, by :data:`PRED_KEYS` and :data:`REPORT_KEYS`, what each stage
    gave: the localizer, the cascade, the segmenter in the true region, the segmenter over the whole scan. A stage that
    did not run has no key, as the true region of a scan without pancreas.

    Args:
        true_region_rule: label (1, X, Y, Z) to the regions a perfect localizer would give, for example
            :class:`~bundle.evaluation.true_region.TrueRegion`; None leaves the comparison out.
        with_whole_scan: whether to slide the segmenter over the whole scan too, which takes by far the longest.
        **evaluator: as :class:`monai.engines.SupervisedEvaluator` takes it; ``inferer`` is the cascade.
    """

    def __init__(
        self,
        true_region_rule: Callable[[MetaTensor], list[Region]] | None = None,
        with_whole_scan: bool = False,
        **evaluator: Any,
    ) -> None:
        super().__init__(**evaluator)
        if not callable(getattr(self.inferer, "run", None)):
            raise TypeError(f"inferer must be a CascadeInferer, got {type(self.inferer).__name__}")
        self.true_region_rule = true_region_rule
        self.with_whole_scan = with_whole_scan

    def _iteration(self, engine: SupervisedEvaluator, batchdata: dict[str, torch.Tensor]) -> dict:
        inputs, label = self.prepare_batch(batchdata, self.state.device, self.non_blocking, **self.to_kwargs)[:2]
        self.state.output = {CommonKeys.IMAGE: inputs, CommonKeys.LABEL: label}
        # As in MONAI's own evaluators, mixed precision at this level is for the GPU.
        amp = torch.autocast("cuda", **self.amp_kwargs, enabled=self.amp and inputs.is_cuda)
        with self.mode(self.network), amp:
            reports = self._run_stages(inputs, label)
        self.fire_event(IterationEvents.FORWARD_COMPLETED)
        self.fire_event(IterationEvents.MODEL_COMPLETED)
        # Only now, because MONAI can't take a batch apart that holds anything but tensors, numbers and text.
        for scan in self.state.output if isinstance(self.state.output, list) else [self.state.output]:
            scan.update(reports)
        return self.state.output

    def _run_stages(self, inputs: MetaTensor, label: MetaTensor | None) -> dict[str, CascadeReport]:
        """Put each stage's probability into ``self.state.output``; return the reports by :data:`REPORT_KEYS`."""
        reports = self._run_stage("fine", inputs, None)
        if self.true_region_rule is not None and label is not None:
            regions = self.true_region_rule(decollate_batch(label)[0])
            if regions:
                reports |= self._run_stage("fine_true_region", inputs, regions)
        if self.with_whole_scan:
            reports |= self._run_stage("whole_scan", inputs, whole_scan(grid_of(decollate_batch(inputs)[0])))
        return reports

    def _run_stage(self, stage: str, inputs: MetaTensor, regions: list[Region] | None) -> dict[str, CascadeReport]:
        """Run the cascade with ``regions`` given, or with its own and the localizer."""
        reset_peak_memory()
        result: CascadeResult = self.inferer.run(inputs, self.network, regions=regions)  # type: ignore[attr-defined]
        result.pred.meta.pop("cascade", None)
        self.state.output[PRED_KEYS[stage]] = result.pred
        if regions is None and (coarse := result.coarse) is not None:
            self.state.output[PRED_KEYS["coarse"]] = coarse
        return {REPORT_KEYS[stage]: result.report}
