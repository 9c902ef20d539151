"""From files to tensors: scans, labels, lists of them, and the checks that come before any compute."""

from __future__ import annotations

from bundle.read.datalist import case_name, find_scans, load_datalist, split_by_patient
from bundle.read.label import LoadLabeld, read_label
from bundle.read.label_values import label_classes
from bundle.read.scan import LoadScand, read_header, read_scan
from bundle.read.validity import check_datalist, checked_scans

__all__ = [
    "LoadLabeld",
    "LoadScand",
    "case_name",
    "check_datalist",
    "checked_scans",
    "find_scans",
    "label_classes",
    "load_datalist",
    "read_header",
    "read_label",
    "read_scan",
    "split_by_patient",
]
