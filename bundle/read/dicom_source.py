"""Which DICOM files a scan was read from, as text in its meta data, for what refers back to them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

META_KEY = "dicom"


@dataclass(frozen=True)
class DicomSource:
    """The slices of a scan in the order of the third voxel axis of its own grid, along their normal.

    Attributes:
        files: one per slice, or the one file of a multi-frame scan.
        series_uid: SeriesInstanceUID, empty where the header has none.
        multiframe: whether the slices are frames of one file.
        frames: frame numbers of a multi-frame scan, from 0, in the same order; else empty.
    """

    files: tuple[Path, ...]
    series_uid: str
    multiframe: bool = False
    frames: tuple[int, ...] = ()

    def to_json(self) -> str:
        """Return the source as text: MONAI hands only text, numbers and tensors of a meta data on to the next step."""
        return json.dumps(
            {
                "files": [str(path) for path in self.files],
                "series_uid": self.series_uid,
                "multiframe": self.multiframe,
                "frames": list(self.frames),
            }
        )


def dicom_source(meta: Mapping[Any, Any]) -> DicomSource | None:
    """Return the source that ``meta`` of a scan, or of a mask made from it, holds; None if it wasn't DICOM."""
    text = meta.get(META_KEY)
    if not text:
        return None
    content = json.loads(text)
    return DicomSource(
        tuple(Path(path) for path in content["files"]),
        content["series_uid"],
        bool(content["multiframe"]),
        tuple(content["frames"]),
    )
