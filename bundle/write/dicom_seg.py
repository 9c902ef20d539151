"""The mask as a DICOM segmentation that refers to the slices of its scan."""

from __future__ import annotations

import os
from collections.abc import Hashable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from monai.config import KeysCollection
from monai.data import MetaTensor

import bundle
from bundle.errors import bad_input
from bundle.read.dicom_source import DicomSource
from bundle.write.case import as_array
from bundle.write.dicom_common import MANUFACTURER, PRODUCT, SaveDicomd, equipment, save
from bundle.write.dicom_headers import SourceHeaders, planes_of, read_headers

FILE_NAME = "segmentation.dcm"
TRACKING_ID = "pancreas"

_SERIES_NUMBER = 5001


def write_seg(
    mask: MetaTensor,
    source: DicomSource,
    path: str | os.PathLike[str],
    system: str = "",
    anonymize: bool = False,
) -> None:
    """Write a binary DICOM SEG with one segment, the pancreas, that refers to every slice of its scan.

    Frames lie exactly where the slices do and name the slice they lie on. Where the scan was resampled while reading
    (gantry tilt, uneven slices) the mask's own grid is written in the scan's frame of reference. Slices without
    pancreas have no frame.

    Args:
        mask: (1, X, Y, Z) or (X, Y, Z), RAS+ affine, X along the rows of the slices; what is above 0 is pancreas.
        source: the slices, in the order of Z.
        path: of the DICOM file.
        system: which of the configured systems made the mask, for the algorithm's parameters.
        anonymize: leave out who and when, as :func:`~bundle.write.dicom_common.save` says.

    Raises:
        ValueError: the mask is empty: a segment without pixels would show as if there were one.
        InputError: the headers of the slices cannot be referred to.
    """
    voxels = as_array(mask) > 0
    if not voxels.any():
        raise ValueError("an empty mask has no DICOM SEG")
    headers = read_headers(source)
    try:
        dataset = _segmentation(voxels, np.asarray(mask.affine, dtype=float), headers, system)
    except (KeyError, ValueError) as error:  # another kind of object, or two slices at one place
        rule = "the slices are CT images that a DICOM SEG can refer to"
        raise bad_input(source.files[0], rule, error, "Use the NIfTI mask instead.") from error
    save(dataset, headers, path, anonymize)


class SaveDicomSegd(SaveDicomd):
    """Write ``<output_dir>/<case>/segmentation.dcm`` with :func:`write_seg`, if the scan came from DICOM.

    Args:
        keys: masks on the scan's own grid; of several keys the last one stays.
        output_dir: parent of the case folders.
        system: which of the configured systems made the mask.
        anonymize: leave out who and when.
    """

    file_name = FILE_NAME

    def __init__(
        self,
        keys: KeysCollection,
        output_dir: str | os.PathLike[str],
        system: str = "",
        anonymize: bool = False,
        allow_missing_keys: bool = False,
    ) -> None:
        super().__init__(keys, output_dir, anonymize, allow_missing_keys)
        self.system = system

    def write_dicom(self, data: Mapping[Hashable, Any], mask: MetaTensor, source: DicomSource, path: Path) -> None:
        """Write the segmentation."""
        write_seg(mask, source, path, self.system, self.anonymize)


def _segmentation(voxels: np.ndarray, affine: np.ndarray, headers: SourceHeaders, system: str) -> Any:
    import highdicom as hd
    from pydicom.sr.codedict import codes

    segment = hd.seg.SegmentDescription(
        segment_number=1,
        segment_label="Pancreas",
        segmented_property_category=codes.SCT.AnatomicalStructure,
        segmented_property_type=codes.SCT.Pancreas,
        algorithm_type=hd.seg.SegmentAlgorithmTypeValues.AUTOMATIC,
        algorithm_identification=hd.AlgorithmIdentificationSequence(
            name=PRODUCT,
            family=codes.DCM.ArtificialIntelligence,
            version=bundle.__version__,
            source=MANUFACTURER,
            parameters={"system": system} if system else None,
        ),
        tracking_uid=hd.UID(),
        tracking_id=TRACKING_ID,
    )
    planes = planes_of(voxels.shape, affine, headers)
    measures = hd.PixelMeasuresSequence(planes.spacing[:2], planes.spacing[2], planes.spacing[2])
    segmentation = hd.seg.Segmentation(
        source_images=headers.images,
        pixel_array=voxels.transpose(2, 1, 0),  # (slices, rows, columns)
        segmentation_type=hd.seg.SegmentationTypeValues.BINARY,
        segment_descriptions=[segment],
        series_instance_uid=hd.UID(),
        series_number=_SERIES_NUMBER,
        sop_instance_uid=hd.UID(),
        instance_number=1,
        content_label="PANCREAS",
        content_description="Pancreas, made by software, for research only",
        content_qualification=hd.ContentQualificationValues.RESEARCH,
        series_description="Pancreas segmentation, for research only",
        plane_positions=[hd.PlanePositionSequence("PATIENT", position) for position in planes.positions.tolist()],
        plane_orientation=hd.PlaneOrientationSequence("PATIENT", planes.orientation.tolist()),
        pixel_measures=measures,
        **equipment(),
    )
    # highdicom takes the source's own where the pixel spacing is the same, though the slices may be resampled
    segmentation.SharedFunctionalGroupsSequence[0].PixelMeasuresSequence = measures
    return segmentation
