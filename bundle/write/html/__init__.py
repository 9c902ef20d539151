"""Pages to read in a browser, offline: one for each study, and a list of all studies of a run."""

from __future__ import annotations

from bundle.write.html.index_page import write_index
from bundle.write.html.report_page import SaveHtmld, write_report_page

__all__ = ["SaveHtmld", "write_index", "write_report_page"]
