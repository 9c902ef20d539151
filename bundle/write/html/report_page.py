"""report.html: all about one study on one page, with a viewer, that opens from disk."""

from __future__ import annotations

import os
from collections.abc import Hashable, Mapping
from pathlib import Path
from typing import Any

from monai.data import MetaTensor

from bundle.files import write_text
from bundle.write.html import words
from bundle.write.html.embedding import packed
from bundle.write.html.niivue import NiiVue, find_niivue
from bundle.write.html.pages import render, resource
from bundle.write.html.pictures import Volume, gland_pictures, slice_pictures
from bundle.write.html.volumes import surface_file, views
from bundle.write.saver import IMAGE_KEY, Saver

FILE_NAME = "report.html"


def write_report_page(
    report: Mapping[str, Any],
    path: str | os.PathLike[str],
    scan: MetaTensor | None = None,
    mask: MetaTensor | None = None,
) -> None:
    """Write the page of one study, below 16 MB: numbers, pictures and, where NiiVue is installed, a viewer.

    Of the scan's header it shows nothing, of its path the last name.

    Args:
        report: what report.json holds; keys that it lacks are left out.
        path: of the page.
        scan: (1, X, Y, Z) in HU; any orientation, which may differ from the mask's. None for a scan that could not be
            used: the page then has no pictures.
        mask: (1, X, Y, Z) of the same piece of the patient and the same spacing; may be empty.

    Raises:
        ValueError: scan and mask do not share a grid.
    """
    volume = None if scan is None or mask is None else Volume.of(scan, mask)
    viewer, why_not = _viewer() if volume is not None else (None, "")
    script = resource("viewer.js")
    page = render(
        "report.html",
        scripts=(script,) if viewer else (),
        case=str(report.get("case") or "scan"),
        outcome=words.outcome_of(report.get("outcome", "failed")),
        outcome_name=str(report.get("outcome", "failed")),
        reason=words.reason_of(report),
        findings=words.findings_of(report),
        key_numbers=words.key_numbers(report),
        measurements=words.measurements(report),
        details=words.details(report),
        gland=[] if volume is None else gland_pictures(volume),
        slices=[] if volume is None else slice_pictures(volume),
        **_embedded(volume if viewer else None),
        niivue=viewer,
        niivue_module=packed(viewer.module.encode()) if viewer else "",
        why_not=why_not,
        script=script,
    )
    write_text(page, path)


class SaveHtmld(Saver):
    """Write ``<output_dir>/<case>/report.html`` with :func:`write_report_page`, from ``data["report"]``."""

    file_name = FILE_NAME
    stage = "page"

    def write(self, data: dict[Hashable, Any], volume: MetaTensor, path: Path) -> None:
        """Write the page."""
        if "report" not in data:
            raise ValueError("the page is made from data['report']: SaveReportd comes before SaveHtmld")
        write_report_page(data["report"], path, data[IMAGE_KEY], volume)


def _viewer() -> tuple[NiiVue | None, str]:
    try:
        return find_niivue(), ""
    except LookupError as missing:
        return None, str(missing.args[0])


def _embedded(volume: Volume | None) -> dict[str, Any]:
    """Return what the viewer shows, as the template's variables."""
    if volume is None:
        return {"views": [], "surface": ""}
    return {
        "views": views(volume.voxels, volume.inside, volume.affine),
        "surface": surface_file(volume.inside, volume.affine),
    }
