"""From a mask to files: NIfTI, a picture, a report; each appears complete or not at all."""

from __future__ import annotations

from bundle.write.dicom_seg import SaveDicomSegd, write_seg
from bundle.write.dicom_sr import SaveDicomSrd, write_sr
from bundle.write.html import SaveHtmld, write_index, write_report_page
from bundle.write.invert import InvertWithReportd
from bundle.write.mask import SaveMaskd, write_mask
from bundle.write.montage import SaveMontaged, draw_montage
from bundle.write.probabilities import SaveProbabilitiesd, write_probabilities
from bundle.write.report import SaveReportd, case_report, failure_report, write_report
from bundle.write.rtstruct import SaveRtstructd, write_rtstruct

__all__ = [
    "InvertWithReportd",
    "SaveDicomSegd",
    "SaveDicomSrd",
    "SaveHtmld",
    "SaveMaskd",
    "SaveMontaged",
    "SaveProbabilitiesd",
    "SaveReportd",
    "SaveRtstructd",
    "case_report",
    "draw_montage",
    "failure_report",
    "write_index",
    "write_mask",
    "write_probabilities",
    "write_report",
    "write_report_page",
    "write_rtstruct",
    "write_seg",
    "write_sr",
]
