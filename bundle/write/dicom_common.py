"""What the DICOM outputs share: who made them, patient and study or neither, and the reason where there is none."""

from __future__ import annotations

import logging
import os
from collections.abc import Hashable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from monai.config import KeysCollection
from monai.data import MetaTensor

import bundle
from bundle.errors import InputError
from bundle.files import replacing
from bundle.read.dicom_source import DicomSource, dicom_source
from bundle.write.case import as_array
from bundle.write.dicom_headers import SourceHeaders
from bundle.write.saver import Saver

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

logger = logging.getLogger(__name__)

MANUFACTURER = "The pancreas_ct_cascade_segmentation authors"
PRODUCT = "pancreas_ct_cascade_segmentation"
NOT_WRITTEN = "not_written"
"""``data[NOT_WRITTEN]``: file name to the reason in words, for outputs that could not be made."""

# PS3.15, table E.1-1, asks for dates that cannot be empty to be replaced by dummies.
_DUMMY = {"DA": "19000101", "TM": "000000", "DT": "19000101000000"}


def equipment() -> dict[str, Any]:
    """Return what highdicom's objects want to know about the software that makes them."""
    return {
        "manufacturer": MANUFACTURER,
        "manufacturer_model_name": PRODUCT,
        "software_versions": bundle.__version__,
        "device_serial_number": bundle.__version__,  # software has no other; type 1
        "specific_character_set": "ISO_IR 192",
    }


def save(dataset: Dataset, headers: SourceHeaders, path: str | os.PathLike[str], anonymize: bool) -> None:
    """Write the object with the patient and study of its source, or with neither.

    ``anonymize`` follows the Basic Application Confidentiality Profile of PS3.15, annex E, with the Retain UIDs Option:
    names, IDs, sex, all dates and times, and everything about the hospital and the scanner are empty or dummies; the
    UIDs of study, series and slices stay, without which the object could not be laid over its scan. Who has the
    original scan can therefore tell whose it is.
    """
    if anonymize:
        _mark_anonymous(dataset)
    else:
        for keyword, text in headers.patient.items():
            setattr(dataset, keyword, text)
    with replacing(path) as temporary:
        dataset.save_as(temporary, enforce_file_format=True)


class SaveDicomd(Saver):
    """Write one DICOM file into the folder of the case, if the scan came from DICOM; what the writers have in common.

    Where that cannot be done (empty mask, headers that cannot be referred to) the study goes on without the file, and
    ``data["not_written"][<file name>]`` says why. A file of an earlier run, which belongs to another mask, is removed.

    Args:
        keys: masks on the scan's own grid; of several keys the last one stays.
        output_dir: parent of the case folders.
        anonymize: leave out who and when, as :func:`save` says.
    """

    file_name: str

    stage = "dicom"

    def __init__(
        self,
        keys: KeysCollection,
        output_dir: str | os.PathLike[str],
        anonymize: bool = False,
        allow_missing_keys: bool = False,
    ) -> None:
        super().__init__(keys, output_dir, allow_missing_keys)
        self.anonymize = anonymize

    def write(self, data: dict[Hashable, Any], volume: MetaTensor, path: Path) -> None:
        """Write the file, or say in the data why not."""
        source = dicom_source(volume.meta)
        if source is None:
            return
        path.unlink(missing_ok=True)
        reason = "" if as_array(volume).any() else "the mask is empty"
        try:
            if not reason:
                self.write_dicom(data, volume, source, path)
        except InputError as error:
            reason = str(error)
        if reason:
            logger.warning("%s is not written: %s", path, reason)
            data[NOT_WRITTEN] = {**data.get(NOT_WRITTEN, {}), self.file_name: reason}

    def write_dicom(self, data: Mapping[Hashable, Any], mask: MetaTensor, source: DicomSource, path: Path) -> None:
        """Write the file, for a mask that is not empty."""
        raise NotImplementedError


def _mark_anonymous(dataset: Dataset) -> None:
    from highdicom.sr import CodedConcept

    for element in dataset.iterall():
        if element.VR in _DUMMY and element.value:
            element.value = _DUMMY[element.VR]
    dataset.PatientIdentityRemoved = "YES"
    dataset.LongitudinalTemporalInformationModified = "REMOVED"
    dataset.DeidentificationMethod = "Basic profile, UIDs retained"
    dataset.DeidentificationMethodCodeSequence = [
        CodedConcept("113100", "DCM", "Basic Application Confidentiality Profile"),
        CodedConcept("113110", "DCM", "Retain UIDs Option"),
    ]
