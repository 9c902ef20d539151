"""Pictures in JPEG, JPEG-LS or JPEG 2000, decoded by SimpleITK in a process of its own.

Damaged pictures make the decoders crash or run for long (python-gdcm, which pydicom would take, and SimpleITK alike): a
scan that does so must not end the others.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np

from bundle.read.dicom_slices import Slice
from bundle.read.scratch import scratch_folder

_WORKER = Path(__file__).with_name("jpeg_worker.py")
_SECONDARY_CAPTURE = "1.2.840.10008.5.1.4.1.1.7"
_SECONDS = 30.0
_SECONDS_PER_PICTURE = 1.0  # some fifty times what one takes


def decode_jpegs(frames: Iterable[tuple[bytes, Slice]]) -> Iterator[np.ndarray]:
    """Yield the stored values (rows, columns) of encoded pictures, not rescaled.

    Args:
        frames: the bytes of each picture, and what its header says.

    Raises:
        RuntimeError: the next picture cannot be decoded; those before it were yielded.
    """
    with scratch_folder() as folder:
        paths = []
        for number, (frame, picture) in enumerate(frames):
            paths.append(folder / f"{number:06d}.dcm")
            _write(frame, picture, paths[-1])
        end = _run(folder, _SECONDS + _SECONDS_PER_PICTURE * len(paths))
        for path in paths:
            yield _result(path, end)


def _run(folder: Path, seconds: float) -> str:
    """Decode the files of a folder; return how the process ended."""
    command = [sys.executable, "-P", str(_WORKER), str(folder)]
    try:
        done = subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, timeout=seconds)
    except subprocess.TimeoutExpired:
        return f"the decoder took more than {seconds:g} seconds"
    return f"the decoder crashed (exit code {done.returncode})"


def _result(path: Path, end: str) -> np.ndarray:
    """Return what the process wrote for a picture; ``end`` is why it wrote nothing."""
    reason = path.with_suffix(".txt")
    if reason.exists():
        raise RuntimeError(reason.read_text(encoding="utf-8").replace(f" {path}", ""))
    try:
        return np.load(path.with_suffix(".npy"))
    except (OSError, ValueError, EOFError) as error:
        raise RuntimeError(end) from error


def _write(frame: bytes, picture: Slice, path: Path) -> None:
    """Write a file with this one picture and nothing that makes a reader rescale it."""
    from pydicom.dataset import FileDataset, FileMetaDataset
    from pydicom.encaps import encapsulate
    from pydicom.uid import UID, generate_uid

    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = UID(_SECONDARY_CAPTURE)
    meta.MediaStorageSOPInstanceUID = generate_uid()
    meta.TransferSyntaxUID = UID(picture.syntax)
    data = FileDataset("", {}, file_meta=meta, preamble=b"\0" * 128)
    data.SOPClassUID, data.SOPInstanceUID = meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID
    data.Rows, data.Columns, data.SamplesPerPixel = picture.rows, picture.columns, 1
    data.PhotometricInterpretation = "MONOCHROME2"
    data.BitsAllocated, data.BitsStored, data.HighBit = picture.bits
    data.PixelRepresentation = int(picture.signed)
    data.PixelData = encapsulate([frame])
    data["PixelData"].VR = "OB"
    data.save_as(path, enforce_file_format=True)
