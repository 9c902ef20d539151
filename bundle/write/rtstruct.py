"""The mask as a DICOM RT structure set: contours on the slices of its scan, for radiotherapy planning systems."""

from __future__ import annotations

import os
from collections.abc import Hashable, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
from monai.data import MetaTensor
from scipy.spatial import KDTree
from skimage.measure import find_contours, points_in_poly

from bundle.read.dicom_source import DicomSource
from bundle.write.case import as_array
from bundle.write.dicom_common import SaveDicomd, equipment, save
from bundle.write.dicom_headers import Planes, SourceHeaders, planes_of, read_headers

FILE_NAME = "rtstruct.dcm"

_SERIES_NUMBER = 5003
_COLOUR = ["255", "212", "0"]
_STUDY_CLASS = "1.2.840.10008.3.1.2.3.1"  # Detached Study Management, which readers of RT structure sets expect


def outlines(picture: np.ndarray) -> list[np.ndarray]:
    """Return polygons (N, 2) in pixels (X, Y) around what is true of a boolean (X, Y) picture; none if nothing is.

    They run midway between the centres of pixels inside and outside (marching squares at one half), so that the pixels
    whose centres they hold are the picture's again. A hole is joined to the outline around it by a channel without
    width: the keyhole technique that DICOM asks for (PS3.3, C.8.8.6.3).
    """
    found = [line[:-1] - 1 for line in find_contours(np.pad(picture, 1).astype(float), 0.5)]
    areas = [_signed_area(line) for line in found]
    solid = [(line, abs(area)) for line, area in zip(found, areas) if area < 0]
    polygons = [line for line, _ in solid]
    for hole in (line for line, area in zip(found, areas) if area > 0):
        around = [index for index, (line, _) in enumerate(solid) if points_in_poly(hole[:1], line)[0]]
        index = min(around, key=[area for _, area in solid].__getitem__)
        polygons[index] = _keyhole(polygons[index], hole)
    return polygons


def write_rtstruct(
    mask: MetaTensor,
    source: DicomSource,
    path: str | os.PathLike[str],
    anonymize: bool = False,
) -> None:
    """Write an RT structure set with one region, the pancreas, as closed contours on the slices.

    Args:
        mask: (1, X, Y, Z) or (X, Y, Z), RAS+ affine, X along the rows of the slices; what is above 0 is pancreas.
        source: the slices, in the order of Z.
        path: of the DICOM file.
        anonymize: leave out who and when, as :func:`~bundle.write.dicom_common.save` says.

    Raises:
        ValueError: the mask is empty.
        InputError: the headers of the slices cannot be referred to.
    """
    voxels = as_array(mask) > 0
    if not voxels.any():
        raise ValueError("an empty mask has no contours")
    headers = read_headers(source)
    planes = planes_of(voxels.shape, np.asarray(mask.affine, dtype=float), headers)
    contours = [
        _contour(polygon, planes, index, _slice_reference(headers, source, index) if planes.on_slices else None)
        for index in np.flatnonzero(voxels.any(axis=(0, 1))).tolist()
        for polygon in outlines(voxels[:, :, index])
    ]
    save(_structure_set(contours, headers), headers, path, anonymize)


class SaveRtstructd(SaveDicomd):
    """Write ``<output_dir>/<case>/rtstruct.dcm`` with :func:`write_rtstruct`, if the scan came from DICOM."""

    file_name = FILE_NAME

    def write_dicom(self, data: Mapping[Hashable, Any], mask: MetaTensor, source: DicomSource, path: Path) -> None:
        """Write the structure set."""
        write_rtstruct(mask, source, path, self.anonymize)


def _signed_area(line: np.ndarray) -> float:
    x, y = line.T
    return float(np.sum(x * np.roll(y, -1) - y * np.roll(x, -1)) / 2)


def _keyhole(outline: np.ndarray, hole: np.ndarray) -> np.ndarray:
    """Return one polygon: along the outline, over to the hole, around it and back the same way."""
    distances, nearest = KDTree(hole).query(outline)
    here = int(distances.argmin())
    there = int(nearest[here])
    around = np.concatenate([hole[there:], hole[: there + 1]])
    return np.concatenate([outline[: here + 1], around, outline[here:]])


def _contour(polygon: np.ndarray, planes: Planes, index: int, slice_reference: Any) -> Any:
    from pydicom.dataset import Dataset

    row_mm, column_mm, _ = planes.spacing
    along = np.stack([planes.orientation[:3] * column_mm, planes.orientation[3:] * row_mm])
    points = planes.positions[index] + polygon @ along
    contour = Dataset()
    if slice_reference is not None:
        contour.ContourImageSequence = [slice_reference]
    contour.ContourGeometricType = "CLOSED_PLANAR"
    contour.NumberOfContourPoints = len(points)
    contour.ContourData = [f"{value:.3f}" for value in points.ravel()]
    return contour


def _slice_reference(headers: SourceHeaders, source: DicomSource, index: int) -> Any:
    if not source.multiframe:
        return _image_reference(headers.images[index])
    reference = _image_reference(headers.images[0])
    reference.ReferencedFrameNumber = source.frames[index] + 1
    return reference


def _image_reference(image: Any) -> Any:
    from pydicom.dataset import Dataset

    reference = Dataset()
    reference.ReferencedSOPClassUID = image.SOPClassUID
    reference.ReferencedSOPInstanceUID = image.SOPInstanceUID
    return reference


def _structure_set(contours: list[Any], headers: SourceHeaders) -> Any:
    import highdicom as hd
    from pydicom.dataset import Dataset
    from pydicom.sr.codedict import codes
    from pydicom.uid import ExplicitVRLittleEndian, RTStructureSetStorage

    image = headers.images[0]
    structures = hd.SOPClass(
        study_instance_uid=image.StudyInstanceUID,
        series_instance_uid=hd.UID(),
        series_number=_SERIES_NUMBER,
        sop_instance_uid=hd.UID(),
        sop_class_uid=RTStructureSetStorage,
        instance_number=1,
        modality="RTSTRUCT",
        transfer_syntax_uid=ExplicitVRLittleEndian,
        series_description="Pancreas contours, for research only",
        **equipment(),
    )
    structures.OperatorsName = ""
    structures.FrameOfReferenceUID = image.FrameOfReferenceUID
    structures.PositionReferenceIndicator = ""
    structures.StructureSetLabel = "PANCREAS"
    now = datetime.now()
    structures.StructureSetDate, structures.StructureSetTime = now.strftime("%Y%m%d"), now.strftime("%H%M%S")
    structures.ApprovalStatus = "UNAPPROVED"

    series, study, frame = Dataset(), Dataset(), Dataset()
    series.SeriesInstanceUID = image.SeriesInstanceUID
    series.ContourImageSequence = [_image_reference(slice_) for slice_ in headers.images]
    study.ReferencedSOPClassUID, study.ReferencedSOPInstanceUID = _STUDY_CLASS, image.StudyInstanceUID
    study.RTReferencedSeriesSequence = [series]
    frame.FrameOfReferenceUID = image.FrameOfReferenceUID
    frame.RTReferencedStudySequence = [study]
    structures.ReferencedFrameOfReferenceSequence = [frame]

    region, drawn, meaning = Dataset(), Dataset(), Dataset()
    region.ROINumber, region.ROIName, region.ROIGenerationAlgorithm = 1, "Pancreas", "AUTOMATIC"
    region.ReferencedFrameOfReferenceUID = image.FrameOfReferenceUID
    structures.StructureSetROISequence = [region]
    drawn.ReferencedROINumber, drawn.ROIDisplayColor, drawn.ContourSequence = 1, _COLOUR, contours
    structures.ROIContourSequence = [drawn]
    meaning.ObservationNumber, meaning.ReferencedROINumber = 1, 1
    meaning.RTROIInterpretedType, meaning.ROIInterpreter = "ORGAN", ""
    meaning.RTROIIdentificationCodeSequence = [hd.sr.CodedConcept.from_code(codes.SCT.Pancreas)]
    structures.RTROIObservationsSequence = [meaning]
    return structures
