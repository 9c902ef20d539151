"""Tiny DICOM CT on disk, with every attribute that a reader may stumble over open to change."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.uid import CTImageStorage, EnhancedCTImageStorage, ExplicitVRLittleEndian, generate_uid

# Rows run to the patient's left, columns to the back (LPS +x, +y); slices are 2.5 mm apart, feet to head.
UID = generate_uid(entropy_srcs=["series"])


def hu(index: int) -> np.ndarray:
    """(rows 10, columns 9) of slice ``index``: a value of its own in each pixel."""
    return (np.arange(90).reshape(10, 9) * 10 - 700 + index * 13).astype(np.int16)


def write_slice(folder: Path, index: int, **changes: Any) -> Path:
    """Write slice ``index`` of :func:`hu` and return its path."""
    # file names run against the positions: neither they nor instance numbers may order the slices
    path = folder / f"{100 - index + len(list(folder.iterdir())) / 1000}"
    image = ct_file(CTImageStorage, hu(index) + 1024, StudyInstanceUID="1.2.3", SeriesInstanceUID=UID)
    image.PixelSpacing = [0.8, 0.6]
    image.ImagePositionPatient = [-20, -30, 100 + 2.5 * index]
    image.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
    change(image, changes)
    image.save_as(path)
    return path


def write_series(folder: Path, count: int = 9, **changes: Any) -> Path:
    """Write a series with a UID of its own, unless ``changes`` names it, and return its folder."""
    folder.mkdir(parents=True, exist_ok=True)
    changes.setdefault("SeriesInstanceUID", generate_uid())
    for index in range(count):
        write_slice(folder, index, **changes)
    return folder


def write_multiframe(path: Path, order: list[int], **changes: Any) -> Path:
    """Write an Enhanced CT whose frames are the slices of ``order``; slice ``n`` has intercept -1024 + n."""
    path.parent.mkdir(parents=True, exist_ok=True)
    stored = np.stack([hu(index) + 1024 - index for index in order])
    image = ct_file(EnhancedCTImageStorage, stored, StudyInstanceUID="1.2.3", SeriesInstanceUID=UID)
    # a multi-frame file says these in its functional groups
    change(image, {"RescaleSlope": None, "RescaleIntercept": None})
    image.ImageType = ["ORIGINAL", "PRIMARY", "VOLUME", "NONE"]
    image.SharedFunctionalGroupsSequence = [
        item(
            PlaneOrientationSequence=[item(ImageOrientationPatient=[1, 0, 0, 0, 1, 0])],
            PixelMeasuresSequence=[item(PixelSpacing=[0.8, 0.6], SliceThickness=2.5)],
        )
    ]
    image.PerFrameFunctionalGroupsSequence = [
        item(
            PlanePositionSequence=[item(ImagePositionPatient=[-20, -30, 100 + 2.5 * index])],
            PixelValueTransformationSequence=[
                item(RescaleSlope=1, RescaleIntercept=-1024 + index, RescaleType="HU")
            ],
        )
        for index in order
    ]
    change(image, changes)
    image.save_as(path)
    return path


def ct_file(sop_class: str, stored: np.ndarray, uid: str | None = None, **attributes: Any) -> FileDataset:
    """Return a CT image, or several frames, with its pixels and how to read them, and ``attributes``.

    Args:
        sop_class: single-frame or multi-frame CT.
        stored: (rows, columns) or (frames, rows, columns), HU + 1024.
        uid: SOPInstanceUID, by default a new one.
    """
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = sop_class
    meta.MediaStorageSOPInstanceUID = uid or generate_uid()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    image = FileDataset("", {}, file_meta=meta, preamble=b"\0" * 128)
    image.SOPClassUID, image.SOPInstanceUID = sop_class, meta.MediaStorageSOPInstanceUID
    image.Modality = "CT"
    image.Rows, image.Columns = stored.shape[-2:]
    if stored.ndim == 3:
        image.NumberOfFrames = len(stored)
    image.SamplesPerPixel, image.PhotometricInterpretation = 1, "MONOCHROME2"
    image.BitsAllocated, image.BitsStored, image.HighBit, image.PixelRepresentation = 16, 12, 11, 0
    image.RescaleSlope, image.RescaleIntercept = 1, -1024
    image.PixelData = stored.astype("<u2").tobytes()
    change(image, attributes)
    return image


def change(data: Dataset, changes: dict[str, Any]) -> None:
    """Set attributes by keyword, and take those away that become None."""
    for keyword, value in changes.items():
        if value is not None:
            setattr(data, keyword, value)
        elif keyword in data:
            delattr(data, keyword)


def item(**values: Any) -> Dataset:
    """Return an item of a sequence."""
    data = Dataset()
    change(data, values)
    return data
