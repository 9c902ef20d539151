"""Pancreas CT cascade segmentation: a MONAI bundle. For research, not for diagnosis.

``bundle.segment(path, ...)`` segments a scan; see :func:`bundle.segmentation.segment`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from bundle.segmentation import Result, Segmenter, segment

__version__ = "0.9.4"

__all__ = ["Result", "Segmenter", "__version__", "segment"]


def __getattr__(name: str) -> Any:
    """Import what segments when it is first asked for: ``import bundle`` alone does not wait for torch."""
    if name in __all__:
        from bundle import segmentation

        return getattr(segmentation, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
