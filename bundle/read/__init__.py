"""From files to tensors: scans, labels, lists of them, and the checks that come before any compute."""

from __future__ import annotations

from bundle.read.archive import is_archive, unpacked
from bundle.read.datalist import case_name, load_datalist, split_by_patient
from bundle.read.dicom_source import DicomSource, dicom_source
from bundle.read.finding import input_findings
from bundle.read.label import LoadLabeld, read_label
from bundle.read.label_values import label_classes
from bundle.read.scan import LoadScand, read_header, read_scan
from bundle.read.studies import Found, Skipped, find_scans, find_studies
from bundle.read.validity import check_datalist, checked_scans

__all__ = [
    "DicomSource",
    "Found",
    "LoadLabeld",
    "LoadScand",
    "Skipped",
    "case_name",
    "check_datalist",
    "checked_scans",
    "dicom_source",
    "find_scans",
    "find_studies",
    "input_findings",
    "is_archive",
    "label_classes",
    "load_datalist",
    "read_header",
    "read_label",
    "read_scan",
    "split_by_patient",
    "unpacked",
]
