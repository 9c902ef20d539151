"""The application: load DICOM studies, select series, segment; needs the SDK."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from monai.deploy.conditions import CountCondition
from monai.deploy.core import Application
from monai.deploy.operators.dicom_data_loader_operator import DICOMDataLoaderOperator
from monai.deploy.operators.dicom_series_selector_operator import DICOMSeriesSelectorOperator

from bundle.deploy.operators import SERIES, SegmentPancreasOperator
from bundle.deploy.studies import exit_code

STUDIES = "dicom_study_list"


class PancreasApp(Application):
    """DICOM studies in a folder to DICOM SEG, DICOM SR and report.json in another.

    Args:
        input_folder: with DICOM files at any depth.
        output_folder: parent of the studies' folders.
        device: ``auto``, ``cpu`` or ``cuda``.
    """

    def __init__(self, input_folder: Path, output_folder: Path, device: str = "auto") -> None:
        self.input_folder = input_folder
        self.output_folder = output_folder
        self.device = device
        super().__init__()

    def compose(self) -> None:
        """Chain the operators."""
        once = CountCondition(self, 1)
        # an empty input is for the last operator to report, not for the first to crash on
        loader = DICOMDataLoaderOperator(self, once, input_folder=self.input_folder, must_load=False, name="loader")
        # without rules it hands on every series, of which ours choose one in each study
        selector = DICOMSeriesSelectorOperator(self, name="selector")
        self.segmentation = SegmentPancreasOperator(
            self,
            input_folder=self.input_folder,
            output_folder=self.output_folder,
            device=self.device,
            name="segmentation",
        )
        self.add_flow(loader, selector, {(STUDIES, STUDIES)})
        self.add_flow(selector, self.segmentation, {(SERIES, SERIES)})

    @property
    def reports(self) -> list[dict[str, Any]]:
        """What report.json holds, of each study that was segmented."""
        return self.segmentation.reports


def main(arguments: Sequence[str]) -> int:
    """Run with the SDK's own command line (``-i``, ``-o``, ``-l``) or environment, and return the exit code."""
    context = Application.init_app_context(list(arguments))
    logging.getLogger("highdicom").setLevel(logging.WARNING)  # it logs every attribute group that it copies
    app = PancreasApp(Path(context.input_path), Path(context.output_path))
    app.run()
    return exit_code(app.reports)
