"""From a scan to its results, by the configured pipeline: one scan from Python, or many from the command line."""

from __future__ import annotations

from bundle.segmentation.segmenter import Result, Segmenter, choose_device, segment

__all__ = ["Result", "Segmenter", "choose_device", "segment"]
