"""The operator that stands for the cascade in a MONAI Deploy application; needs the SDK."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from monai.deploy.core import Fragment, Operator, OperatorSpec
from monai.deploy.core.domain.dicom_series_selection import StudySelectedSeries

from bundle.deploy.studies import nothing_to_segment, segment_study
from bundle.segmentation import Segmenter

SERIES = "study_selected_series_list"


class SegmentPancreasOperator(Operator):
    """Segment a series of every study, and write DICOM SEG, DICOM SR and report.json of each.

    The files of the selected series are read again, by the bundle's own reader, which refuses what the SDK's
    DICOMSeriesToVolumeOperator takes without a word: that one spreads the slices evenly from the first to the last, so
    that a missing one moves the others, and swaps the two numbers of PixelSpacing where they differ (4.0.0).

    Named Input:
        study_selected_series_list: list of ``StudySelectedSeries``; of several series in a study our own rules choose.

    Args:
        input_folder: named in the report if there is no study.
        output_folder: parent of the studies' folders.
        device: ``auto``, ``cpu`` or ``cuda``.

    Attributes:
        reports: what report.json holds, of each study so far.
    """

    def __init__(
        self, fragment: Fragment, *args: Any, input_folder: Path, output_folder: Path, device: str, **kwargs: Any
    ) -> None:
        self.input_folder = input_folder
        self.output_folder = output_folder
        self.device = device
        self.reports: list[dict[str, Any]] = []
        super().__init__(fragment, *args, **kwargs)

    def setup(self, spec: OperatorSpec) -> None:
        """Name the input."""
        spec.input(SERIES)

    def compute(self, op_input: Any, op_output: Any, context: Any) -> None:
        """Segment what has come; the networks are loaded once there is something to segment."""
        studies: list[StudySelectedSeries] = op_input.receive(SERIES)
        if not studies:
            self.reports.append(nothing_to_segment(self.input_folder, self.output_folder))
            return
        segmenter = Segmenter(self.output_folder, self.device)
        for study in studies:
            self.reports.append(segment_study(segmenter, str(study.study.StudyInstanceUID), _series(study)))


def _series(study: StudySelectedSeries) -> dict[str, list[Path]]:
    """Return the files of the selected series by SeriesInstanceUID."""
    return {
        str(selected.series.SeriesInstanceUID): [
            Path(instance.get_native_sop_instance().filename) for instance in selected.series.get_sop_instances()
        ]
        for selected in study.selected_series
    }
