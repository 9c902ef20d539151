"""The scanner: painted Hounsfield units to the scan that a CT scanner would have stored."""

from __future__ import annotations

from bundle.rendering.scanner.acquisition import acquire
from bundle.rendering.scanner.scan import HIGHEST_HU, PADDING_HU, RenderedScan
from bundle.rendering.scanner.settings import ScannerSettings, read_settings

__all__ = ["HIGHEST_HU", "PADDING_HU", "RenderedScan", "ScannerSettings", "acquire", "read_settings"]
