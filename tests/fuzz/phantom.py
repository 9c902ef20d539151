"""The healthy scans that the fuzz run damages: one tiny body, as NIfTI bytes and as the bytes of a DICOM series."""

from __future__ import annotations

import io
from collections.abc import Callable
from functools import cache

import nibabel as nib
import numpy as np
import pydicom
from pydicom.dataset import FileDataset
from pydicom.uid import UID, CTImageStorage, EnhancedCTImageStorage, ExplicitVRLittleEndian, generate_uid

from tests.dicom_phantoms import ct_file, item

SPACING_MM = (4.0, 4.0, 6.0)
PANCREAS_HU = 110
STUDY, SERIES, FRAME = (generate_uid(entropy_srcs=[name]) for name in ("study", "series", "frame"))


def hu() -> np.ndarray:
    """(X 24, Y 22, Z 14): fat around a "liver" around "kidney", "pancreas" and "aorta", for the stand-in networks."""
    voxels = np.full((24, 22, 14), -1000, dtype=np.int16)
    voxels[2:22, 2:20] = -90
    voxels[4:20, 4:18] = 40
    voxels[5:8, 5:9, 2:11] = 75
    voxels[9:14, 8:13, 4:9] = PANCREAS_HU
    voxels[15:17, 8:10] = 180
    return voxels


def nifti() -> nib.Nifti1Image:
    """The scan as a NIfTI image; index +x goes to the patient's left."""
    image = nib.Nifti1Image(hu(), np.diag([-SPACING_MM[0], SPACING_MM[1], SPACING_MM[2], 1]))
    image.header.set_xyzt_units("mm")
    return image


@cache
def dicom_slices(syntax: str = ExplicitVRLittleEndian) -> tuple[bytes, ...]:
    """The scan as one DICOM file per slice, from feet to head."""
    slices = []
    for index in range(hu().shape[2]):
        image = _ct(CTImageStorage, hu()[:, :, index].T, f"slice {index}")
        image.ImagePositionPatient = [-40, -30, 100 + SPACING_MM[2] * index]
        image.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
        image.PixelSpacing = [SPACING_MM[1], SPACING_MM[0]]
        image.SliceThickness, image.InstanceNumber = SPACING_MM[2], index + 1
        slices.append(_encoded(image, syntax))
    return tuple(slices)


@cache
def dicom_multiframe(syntax: str = ExplicitVRLittleEndian) -> bytes:
    """The scan as one Enhanced CT file, frames from feet to head."""
    image = _ct(EnhancedCTImageStorage, hu().transpose(2, 1, 0), "multi-frame")
    image.ImageType = ["ORIGINAL", "PRIMARY", "VOLUME", "NONE"]
    image.SharedFunctionalGroupsSequence = [
        item(
            PlaneOrientationSequence=[item(ImageOrientationPatient=[1, 0, 0, 0, 1, 0])],
            PixelMeasuresSequence=[item(PixelSpacing=[SPACING_MM[1], SPACING_MM[0]], SliceThickness=SPACING_MM[2])],
        )
    ]
    image.PerFrameFunctionalGroupsSequence = [
        item(
            PlanePositionSequence=[item(ImagePositionPatient=[-40, -30, 100 + SPACING_MM[2] * index])],
            PixelValueTransformationSequence=[item(RescaleSlope=1, RescaleIntercept=-1024, RescaleType="HU")],
        )
        for index in range(image.NumberOfFrames)
    ]
    return _encoded(image, syntax)


def edited(content: bytes, edit: Callable[[FileDataset], None]) -> bytes:
    """Return a DICOM file anew after ``edit`` has changed its data set, with whatever it holds by then."""
    data = pydicom.dcmread(io.BytesIO(content), force=True)
    edit(data)
    return to_bytes(data)


def to_bytes(data: FileDataset) -> bytes:
    """Return the file, nothing of it validated."""
    buffer = io.BytesIO()
    data.save_as(buffer, enforce_file_format=False)
    return buffer.getvalue()


def _ct(sop_class: str, pixels_hu: np.ndarray, name: str) -> FileDataset:
    image = ct_file(sop_class, pixels_hu + 1024, generate_uid(entropy_srcs=[name]), SpecificCharacterSet="ISO_IR 100")
    image.StudyInstanceUID, image.SeriesInstanceUID, image.FrameOfReferenceUID = STUDY, SERIES, FRAME
    image.Manufacturer, image.SeriesNumber, image.RescaleType = "Scanner Works", 3, "HU"
    image.SeriesDescription, image.ConvolutionKernel = "Abdomen 5.0", "B30f"
    image.PatientName, image.PatientID, image.PatientSex = "Doe^Jane", "12", "F"
    image.PatientBirthDate, image.StudyDate, image.StudyTime = "19700101", "20200304", "111213"
    return image


def _encoded(image: FileDataset, syntax: str) -> bytes:
    if not UID(syntax).is_encapsulated:
        image.file_meta.TransferSyntaxUID = UID(syntax)
    else:
        image.compress(syntax, generate_instance_uid=False)
    return to_bytes(image)
