"""MONAI's cache on disk, whose samples know their names."""

from __future__ import annotations

from typing import Any

from monai.data import PersistentDataset

from bundle.read.datalist import case_name


class CachedScans(PersistentDataset):
    """``PersistentDataset`` that adds ``case``, the name of the scan, to each sample.

    The name isn't in the cache: whatever preprocessing keeps, it comes from the data list.
    """

    def _transform(self, index: int) -> Any:
        return {**super()._transform(index), "case": case_name(self.data[index]["image"])}
