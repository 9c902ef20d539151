"""Pancreas CT cascade segmentation: a MONAI bundle. For research, not for diagnosis."""

__version__ = "0.2.0"
