"""Tiny DICOM series on disk, with every attribute that a reader may stumble over open to change."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.sequence import Sequence
from pydicom.uid import CTImageStorage, EnhancedCTImageStorage, ExplicitVRLittleEndian, generate_uid

# Rows run to the patient's left, columns to the back (LPS +x, +y); slices are 2.5 mm apart, feet to head.
UID = generate_uid(entropy_srcs=["series"])


def hu(index: int) -> np.ndarray:
    """(rows 10, columns 9) of slice ``index``: a value of its own in each pixel."""
    return (np.arange(90).reshape(10, 9) * 10 - 700 + index * 13).astype(np.int16)


def write_slice(folder: Path, index: int, **changes) -> Path:
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = CTImageStorage
    meta.MediaStorageSOPInstanceUID = generate_uid()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    # file names run against the positions: neither they nor instance numbers may order the slices
    path = folder / f"{100 - index + len(list(folder.iterdir())) / 1000}"
    slice_ = FileDataset(str(path), {}, file_meta=meta, preamble=b"\0" * 128)
    slice_.SOPClassUID = CTImageStorage
    slice_.SOPInstanceUID = meta.MediaStorageSOPInstanceUID
    slice_.StudyInstanceUID = "1.2.3"
    slice_.SeriesInstanceUID = UID
    slice_.Modality = "CT"
    slice_.Rows, slice_.Columns = 10, 9
    slice_.PixelSpacing = [0.8, 0.6]
    slice_.ImagePositionPatient = [-20, -30, 100 + 2.5 * index]
    slice_.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
    slice_.SamplesPerPixel, slice_.PhotometricInterpretation = 1, "MONOCHROME2"
    slice_.BitsAllocated, slice_.BitsStored, slice_.HighBit, slice_.PixelRepresentation = 16, 12, 11, 0
    slice_.RescaleSlope, slice_.RescaleIntercept = 1, -1024
    slice_.PixelData = (hu(index) + 1024).astype(np.uint16).tobytes()
    _change(slice_, changes)
    slice_.save_as(path)
    return path


def write_series(folder: Path, count: int = 9, **changes) -> Path:
    """Write a series with a UID of its own, unless ``changes`` names it, and return its folder."""
    folder.mkdir(parents=True, exist_ok=True)
    changes.setdefault("SeriesInstanceUID", generate_uid())
    for index in range(count):
        write_slice(folder, index, **changes)
    return folder


def write_multiframe(path: Path, order: list[int], **changes) -> Path:
    """Write an Enhanced CT whose frames are the slices of ``order``; slice ``n`` has intercept -1024 + n."""
    path.parent.mkdir(parents=True, exist_ok=True)
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = EnhancedCTImageStorage
    meta.MediaStorageSOPInstanceUID = generate_uid()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    file = FileDataset(str(path), {}, file_meta=meta, preamble=b"\0" * 128)
    file.SOPClassUID = EnhancedCTImageStorage
    file.SOPInstanceUID = meta.MediaStorageSOPInstanceUID
    file.StudyInstanceUID, file.SeriesInstanceUID, file.Modality = "1.2.3", UID, "CT"
    file.ImageType = ["ORIGINAL", "PRIMARY", "VOLUME", "NONE"]
    file.NumberOfFrames, file.Rows, file.Columns = len(order), 10, 9
    file.SamplesPerPixel, file.PhotometricInterpretation = 1, "MONOCHROME2"
    file.BitsAllocated, file.BitsStored, file.HighBit, file.PixelRepresentation = 16, 12, 11, 0
    shared = Dataset()
    shared.PlaneOrientationSequence = _item(ImageOrientationPatient=[1, 0, 0, 0, 1, 0])
    shared.PixelMeasuresSequence = _item(PixelSpacing=[0.8, 0.6], SliceThickness=2.5)
    file.SharedFunctionalGroupsSequence = Sequence([shared])
    frames = []
    for index in order:
        frame = Dataset()
        frame.PlanePositionSequence = _item(ImagePositionPatient=[-20, -30, 100 + 2.5 * index])
        frame.PixelValueTransformationSequence = _item(
            RescaleSlope=1, RescaleIntercept=-1024 + index, RescaleType="HU"
        )
        frames.append(frame)
    file.PerFrameFunctionalGroupsSequence = Sequence(frames)
    file.PixelData = b"".join((hu(index) + 1024 - index).astype(np.uint16).tobytes() for index in order)
    _change(file, changes)
    file.save_as(path)
    return path


def _item(**values) -> Sequence:
    item = Dataset()
    _change(item, values)
    return Sequence([item])


def _change(data: Dataset, changes: dict) -> None:
    for name, value in changes.items():
        if value is None:
            delattr(data, name)
        else:
            setattr(data, name, value)
