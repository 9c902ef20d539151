"""The 3-D fully connected conditional random field of Xue 2019, after a network's probabilities."""

from __future__ import annotations

from bundle.crf.mean_field import DenseCRF

__all__ = ["DenseCRF"]
