"""From the scan's own grid and Hounsfield units to what a stage's network sees."""

from bundle.preprocess.body import body_box, body_mask
from bundle.preprocess.fitted import FitIntensityd, FittedIntensityd
from bundle.preprocess.intensity import HUWindows, Intensityd
from bundle.preprocess.mean_max import MeanMax, ScaledHU
from bundle.preprocess.percentile import PercentileWindow
from bundle.preprocess.ras import to_ras
from bundle.preprocess.resample import resample, resample_label
from bundle.preprocess.space import CropAroundLabeld, ResampleToSpacingd, grid_of
from bundle.preprocess.upright import RestoreAsReadd, Uprightd
from bundle.preprocess.zscore import ClippedZScore

__all__ = [
    "ClippedZScore",
    "CropAroundLabeld",
    "FitIntensityd",
    "FittedIntensityd",
    "HUWindows",
    "Intensityd",
    "MeanMax",
    "PercentileWindow",
    "ResampleToSpacingd",
    "RestoreAsReadd",
    "ScaledHU",
    "Uprightd",
    "body_box",
    "body_mask",
    "grid_of",
    "resample",
    "resample_label",
    "to_ras",
]
