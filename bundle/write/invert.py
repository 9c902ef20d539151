"""The mask back onto the scan's own grid, with what the cascade said about it."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Any

from monai.transforms import Invertd

REPORT_KEY = "cascade"


class InvertWithReportd(Invertd):
    """``Invertd``, which gives the mask the meta data of the image, but keeps ``meta["cascade"]`` for the report."""

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        reports = {key: getattr(data[key], "meta", {}).get(REPORT_KEY) for key in self.keys if key in data}
        d = dict(super().__call__(dict(data)))
        for key, report in reports.items():
            if report is not None:
                d[key].meta[REPORT_KEY] = report
        return d
