"""The cascade: localize, choose regions, segment them, paste the result back."""

from bundle.cascade.candidates import InsideBody, LargestClass
from bundle.cascade.fallback import Fallback
from bundle.cascade.fusion import Fusion, RegionPrediction, Replace, ReplaceNear, Vote
from bundle.cascade.growth import Growth
from bundle.cascade.inferer import CascadeInferer, CascadeResult
from bundle.cascade.inferers import FittedWindowInferer, MixedPrecisionInferer, WholeVolumeInferer
from bundle.cascade.region import (
    BoxRule,
    FixedBoxRule,
    Localization,
    MaskRule,
    Region,
    RegionRule,
    SeveralRules,
    WholeScanRule,
    whole_scan,
)
from bundle.cascade.report import CascadeReport
from bundle.cascade.stage import Stage, StageOutput
from bundle.cascade.stage_inferer import StageInferer
from bundle.cascade.view import FieldOfView
from bundle.cascade.windows import FittedTileInferer, TileInferer, WindowInferer

__all__ = [
    "BoxRule",
    "CascadeInferer",
    "CascadeReport",
    "CascadeResult",
    "Fallback",
    "FieldOfView",
    "FittedTileInferer",
    "FittedWindowInferer",
    "FixedBoxRule",
    "Fusion",
    "Growth",
    "InsideBody",
    "LargestClass",
    "Localization",
    "MaskRule",
    "MixedPrecisionInferer",
    "Region",
    "RegionPrediction",
    "RegionRule",
    "Replace",
    "ReplaceNear",
    "SeveralRules",
    "Stage",
    "StageInferer",
    "StageOutput",
    "TileInferer",
    "Vote",
    "WholeScanRule",
    "WholeVolumeInferer",
    "WindowInferer",
    "whole_scan",
]
