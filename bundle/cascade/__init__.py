"""The cascade: localize, choose regions, segment them, paste the result back."""

from bundle.cascade.fusion import Fusion, RegionPrediction, Replace, Vote
from bundle.cascade.growth import Growth
from bundle.cascade.inferer import CascadeInferer, CascadeResult
from bundle.cascade.inferers import FittedWindowInferer, MixedPrecisionInferer, WholeVolumeInferer
from bundle.cascade.region import (
    BoxRule,
    FirstThatFinds,
    FixedBoxRule,
    Localization,
    MaskRule,
    Region,
    RegionRule,
    SeveralRules,
    whole_scan,
)
from bundle.cascade.report import CascadeReport
from bundle.cascade.stage import Stage, StageOutput
from bundle.cascade.stage_inferer import StageInferer

__all__ = [
    "BoxRule",
    "CascadeInferer",
    "CascadeReport",
    "CascadeResult",
    "FirstThatFinds",
    "FittedWindowInferer",
    "FixedBoxRule",
    "Fusion",
    "Growth",
    "Localization",
    "MaskRule",
    "MixedPrecisionInferer",
    "Region",
    "RegionPrediction",
    "RegionRule",
    "Replace",
    "SeveralRules",
    "Stage",
    "StageInferer",
    "StageOutput",
    "Vote",
    "WholeVolumeInferer",
    "whole_scan",
]
