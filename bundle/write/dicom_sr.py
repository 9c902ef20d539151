"""The measurements as a DICOM structured report (TID 1500) about the segment of the DICOM SEG."""

from __future__ import annotations

import os
from collections.abc import Hashable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from monai.data import MetaTensor

import bundle
from bundle.errors import bad_input
from bundle.measure.attenuation import DILATION_MM, EROSION_MM, FAT_HU
from bundle.read.dicom_source import DicomSource
from bundle.write import dicom_seg
from bundle.write.dicom_common import MANUFACTURER, PRODUCT, SaveDicomd, equipment, save
from bundle.write.dicom_headers import SourceHeaders, read_headers

FILE_NAME = "measurements.dcm"

_SERIES_NUMBER = 5002
_SCHEME = "99PANCREASCT"  # private coding schemes begin with 99 (PS3.16, section 8.2)
_MILLILITRE = ("ml", "UCUM", "ml")


class _Coded(NamedTuple):
    """How a measurement is said in DICOM: code, scheme and meaning of its name, unit, derivation and method."""

    name: tuple[str, str, str]
    unit: tuple[str, str, str]
    derivation: tuple[str, str, str] | None = None
    method: tuple[str, str, str] | None = None
    factor: float = 1.0


_CORE = ("core", _SCHEME, f"Segment eroded by {EROSION_MM:g} mm")
_FAT = ("fat", _SCHEME, f"Share of {FAT_HU[0]:g} to {FAT_HU[1]:g} HU, segment dilated by {DILATION_MM:g} mm")
_CENTRE_LINE = ("centre-line", _SCHEME, "Along the centre-line of the largest piece")
_ATTENUATION = ("112031", "DCM", "Attenuation Coefficient")
_HU = ("[hnsf'U]", "UCUM", "Hounsfield unit")
_MM = ("mm", "UCUM", "mm")
_MEAN = ("373098007", "SCT", "Mean")
_DIAMETER = ("81827009", "SCT", "Diameter")

# The measurements that standard codes exist for; where DICOM's concept is wider, the method says what ours is.
_CODES = {
    "volume_ml": _Coded(("118565006", "SCT", "Volume"), _MILLILITRE),
    "mean_hu": _Coded(_ATTENUATION, _HU, _MEAN, _CORE),
    "sd_hu": _Coded(_ATTENUATION, _HU, ("386136009", "SCT", "Standard Deviation"), _CORE),
    "fat_fraction": _Coded(("129100", "DCM", "Fat fraction"), ("%", "UCUM", "Percent"), None, _FAT, 100.0),
    "length_mm": _Coded(("121211", "DCM", "Path length"), _MM, None, _CENTRE_LINE),
    "mean_calibre_mm": _Coded(_DIAMETER, _MM, _MEAN, _CENTRE_LINE),
    "max_calibre_mm": _Coded(_DIAMETER, _MM, ("56851009", "SCT", "Maximum"), _CENTRE_LINE),
}


def write_sr(
    measurements: Mapping[str, float | None],
    source: DicomSource,
    segmentation: str | os.PathLike[str],
    path: str | os.PathLike[str],
    anonymize: bool = False,
) -> None:
    """Write a Comprehensive SR, TID 1500: the finding pancreas with its measurements, of segment 1 of the SEG.

    Args:
        measurements: of :func:`bundle.measure.measure`; those that are None or have no standard code are left out.
        source: the slices of the scan.
        segmentation: the DICOM SEG of the same scan.
        path: of the DICOM file.
        anonymize: leave out who and when, as :func:`~bundle.write.dicom_common.save` says.

    Raises:
        ValueError: none of the measurements can be written.
        InputError: the slices or the SEG cannot be referred to.
    """
    coded = [(_CODES[name], value) for name, value in measurements.items() if name in _CODES and value is not None]
    if not coded:
        raise ValueError(f"none of the measurements has a code: {', '.join(measurements) or 'there are none'}")
    headers = read_headers(source)
    save(_report(coded, headers, _read_seg(segmentation)), headers, path, anonymize)


class SaveDicomSrd(SaveDicomd):
    """Write ``<output_dir>/<case>/measurements.dcm`` with :func:`write_sr`, if the scan came from DICOM.

    Comes after ``SaveDicomSegd``, whose file it refers to, and ``SaveReportd``: the numbers are ``data["report"]``'s.
    """

    file_name = FILE_NAME

    def write_dicom(self, data: Mapping[Hashable, Any], mask: MetaTensor, source: DicomSource, path: Path) -> None:
        """Write the report."""
        write_sr(_measurements(data), source, path.with_name(dicom_seg.FILE_NAME), path, self.anonymize)


def _measurements(data: Mapping[Hashable, Any]) -> dict[str, float | None]:
    report = data["report"]
    return {"volume_ml": report.get("volume_ml"), **(report.get("measurements") or {})}


def _read_seg(path: str | os.PathLike[str]) -> Any:
    import pydicom
    from pydicom.errors import InvalidDicomError

    try:
        seg = pydicom.dcmread(path, stop_before_pixels=True)
        if not seg.get("SegmentSequence"):
            raise ValueError("no segment")
    except (OSError, ValueError, InvalidDicomError) as error:
        rule = "the DICOM SEG of the scan can be referred to"
        raise bad_input(path, rule, error, "Read the numbers from report.json instead.") from error
    return seg


def _report(coded: list[tuple[_Coded, float]], headers: SourceHeaders, seg: Any) -> Any:
    import highdicom as hd
    from highdicom.coding_schemes import CodingSchemeIdentificationItem
    from pydicom.sr.codedict import codes
    from pydicom.uid import generate_uid

    segment = seg.SegmentSequence[0]
    observer = hd.sr.DeviceObserverIdentifyingAttributes(
        uid=generate_uid(entropy_srcs=[PRODUCT, bundle.__version__]),
        name=PRODUCT,
        manufacturer_name=MANUFACTURER,
        model_name=PRODUCT,
        serial_number=bundle.__version__,
    )
    group = hd.sr.VolumetricROIMeasurementsAndQualitativeEvaluations(
        tracking_identifier=hd.sr.TrackingIdentifier(uid=segment.TrackingUID, identifier=segment.TrackingID),
        referenced_segment=hd.sr.ReferencedSegment(
            sop_class_uid=seg.SOPClassUID,
            sop_instance_uid=seg.SOPInstanceUID,
            segment_number=segment.SegmentNumber,
            source_series=hd.sr.SourceSeriesForSegmentation(headers.images[0].SeriesInstanceUID),
        ),
        finding_type=codes.SCT.Pancreas,
        finding_category=codes.SCT.AnatomicalStructure,
        algorithm_id=hd.sr.AlgorithmIdentification(name=PRODUCT, version=bundle.__version__),
        measurements=[_measurement(how, value) for how, value in coded],
    )
    report = hd.sr.MeasurementReport(
        observation_context=hd.sr.ObservationContext(
            observer_device_context=hd.sr.ObserverContext(codes.DCM.Device, observer)
        ),
        procedure_reported=codes.cid100.CTUnspecifiedBodyRegion,
        imaging_measurements=[group],
        title=codes.DCM.ImagingMeasurementReport,
    )
    return hd.sr.ComprehensiveSR(
        evidence=[*headers.images, seg],
        content=report,
        series_instance_uid=hd.UID(),
        series_number=_SERIES_NUMBER,
        sop_instance_uid=hd.UID(),
        instance_number=1,
        is_complete=True,
        is_final=False,
        series_description="Pancreas measurements, for research only",
        coding_schemes=[CodingSchemeIdentificationItem(_SCHEME, PRODUCT, responsible_organization=MANUFACTURER)],
        **equipment(),
    )


def _measurement(how: _Coded, value: float) -> Any:
    import highdicom as hd

    def code(triple: tuple[str, str, str] | None) -> Any:
        return None if triple is None else hd.sr.CodedConcept(*triple)

    return hd.sr.Measurement(
        name=code(how.name),
        value=round(float(value) * how.factor, 4),
        unit=code(how.unit),
        derivation=code(how.derivation),
        method=code(how.method),
    )
