"""Pancreas CT cascade segmentation: a MONAI bundle. For research, not for diagnosis."""
