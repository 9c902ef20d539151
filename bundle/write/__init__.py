"""From a mask to files: NIfTI, a picture, a report; each appears complete or not at all."""

from __future__ import annotations

from bundle.write.invert import InvertWithReportd
from bundle.write.mask import SaveMaskd, write_mask
from bundle.write.montage import SaveMontaged, draw_montage
from bundle.write.report import SaveReportd, case_report, failure_report, write_report

__all__ = [
    "InvertWithReportd",
    "SaveMaskd",
    "SaveMontaged",
    "SaveReportd",
    "case_report",
    "draw_montage",
    "failure_report",
    "write_mask",
    "write_report",
]
