"""A rendered scan as a DICOM CT series, one file per slice."""

from __future__ import annotations

import shutil
from pathlib import Path

import nibabel as nib
import numpy as np
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.uid import UID, CTImageStorage, ExplicitVRLittleEndian, generate_uid

from bundle.geometry import spacing_of
from bundle.rendering.scanner import PADDING_HU, RenderedScan

_RAS_TO_LPS = np.diag([-1.0, -1.0, 1.0, 1.0])


def write_dicom_series(scan: RenderedScan, folder: Path, name: str) -> None:
    """Write ``folder`` with a file for each axial slice, head first and supine, lowest slice first.

    The slices run as scanners store them (columns to the left, rows to the back), whatever the array's orientation; no
    voxel moves in the world. UIDs are derived from ``name`` and the scan's seed. ``folder`` appears when complete.
    """
    stored = nib.Nifti1Image(scan.image_hu, scan.affine)
    to_lps = nib.orientations.ornt_transform(
        nib.io_orientation(scan.affine), nib.orientations.axcodes2ornt("LPS")
    )
    lps = stored.as_reoriented(to_lps)
    voxels = np.asanyarray(lps.dataobj)
    affine = _RAS_TO_LPS @ lps.affine
    half = folder.with_name(f".half.{folder.name}")
    shutil.rmtree(half, ignore_errors=True)
    half.mkdir(parents=True)
    for index in range(voxels.shape[2]):
        _slice(scan, voxels[:, :, index], affine, index, name).save_as(
            half / f"slice_{index:04d}.dcm", enforce_file_format=True
        )
    shutil.rmtree(folder, ignore_errors=True)
    half.rename(folder)


def _slice(scan: RenderedScan, pixels: np.ndarray, affine: np.ndarray, index: int, name: str) -> FileDataset:
    """One slice; ``pixels`` (columns, rows), ``affine`` to LPS."""
    spacing_mm = spacing_of(affine)
    directions = affine[:3, :3] / spacing_mm
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = CTImageStorage
    meta.MediaStorageSOPInstanceUID = _uid(scan, name, f"slice {index}")
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    data = FileDataset("", {}, file_meta=meta, preamble=b"\0" * 128)
    data.SpecificCharacterSet = "ISO_IR 192"
    data.ImageType = ["DERIVED", "PRIMARY", "AXIAL"]
    data.SOPClassUID = CTImageStorage
    data.SOPInstanceUID = meta.MediaStorageSOPInstanceUID
    data.StudyDate = data.SeriesDate = data.AcquisitionDate = data.ContentDate = "20000101"
    data.StudyTime = data.SeriesTime = data.AcquisitionTime = data.ContentTime = "120000"
    data.AccessionNumber = ""
    data.Modality = "CT"
    data.Manufacturer = "Rendered CT"
    data.ReferringPhysicianName = ""
    data.StudyDescription = "Rendered abdomen, not a patient"
    data.SeriesDescription = f"Rendered CT {scan.facts.get('phase', '')}".strip()
    data.PatientName = f"Rendered^{name}"
    data.PatientID = name
    data.PatientBirthDate = ""
    data.PatientSex = ""
    data.PatientPosition = "HFS"
    data.SliceThickness = f"{scan.facts['slice_thickness_mm']:.3f}"
    data.KVP = "120"
    data.StudyInstanceUID = _uid(scan, name, "study")
    data.SeriesInstanceUID = _uid(scan, name, "series")
    data.FrameOfReferenceUID = _uid(scan, name, "frame of reference")
    data.PositionReferenceIndicator = ""
    data.StudyID = "1"
    data.SeriesNumber = 1
    data.AcquisitionNumber = 1
    data.InstanceNumber = index + 1
    data.ImagePositionPatient = [f"{value:.4f}" for value in affine[:3, 3] + index * affine[:3, 2]]
    data.ImageOrientationPatient = [f"{value:.6f}" for value in [*directions[:, 0], *directions[:, 1]]]
    data.PixelSpacing = [f"{spacing_mm[1]:.4f}", f"{spacing_mm[0]:.4f}"]  # between rows, between columns
    data.SamplesPerPixel = 1
    data.PhotometricInterpretation = "MONOCHROME2"
    data.Columns, data.Rows = pixels.shape
    data.BitsAllocated, data.BitsStored, data.HighBit, data.PixelRepresentation = 16, 12, 11, 0
    data.RescaleIntercept, data.RescaleSlope, data.RescaleType = PADDING_HU, 1, "HU"
    data.WindowCenter, data.WindowWidth = "40", "400"
    data.PixelData = (pixels.T.astype(np.int32) - PADDING_HU).astype("<u2").tobytes()
    return data


def _uid(scan: RenderedScan, name: str, what: str) -> UID:
    return generate_uid(entropy_srcs=[name, str(scan.facts.get("seed", "")), what])
