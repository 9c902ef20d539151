"""From the scan's own grid and Hounsfield units to what a stage's network sees."""

from bundle.preprocess.intensity import HUWindows, Intensityd
from bundle.preprocess.resample import resample, resample_label
from bundle.preprocess.space import CropAroundLabeld, ResampleToSpacingd, grid_of

__all__ = ["CropAroundLabeld", "HUWindows", "Intensityd", "ResampleToSpacingd", "grid_of", "resample", "resample_label"]
