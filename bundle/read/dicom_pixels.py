"""The voxels of a DICOM series in Hounsfield units, decoded by pydicom and, from JPEG and its kin, by SimpleITK."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cache

import numpy as np

from bundle.errors import InputError, bad_input
from bundle.read.dicom_slices import Slice, quiet_pydicom
from bundle.read.jpeg import decode_jpegs

# JPEG, JPEG-LS and JPEG 2000: SimpleITK decodes them, pydicom decodes the rest.
_BY_SIMPLEITK = {f"1.2.840.10008.1.2.4.{number}" for number in (50, 51, 57, 70, 80, 81, 90, 91)}
_PACKAGE_HTJ2K = "pylibjpeg pylibjpeg-openjpeg"


def check_decodable(picture: Slice) -> None:
    """Refuse a slice whose transfer syntax nothing at hand decodes, or with fewer bytes than its pixels take."""
    problem = _missing_decoder(picture.syntax)
    if problem:
        received, remedy = problem
        raise bad_input(picture.file, "the pixels can be decoded", received, remedy)
    where = "" if picture.position is None or picture.frame is not None else f", slice at {_place(picture)}"
    remedy = "The file is truncated: copy or export the series again."
    if picture.cut_short:
        raise bad_input(picture.file, "a file holds all its compressed pixels", f"an end within them{where}", remedy)
    _check_bits(picture)
    needed = picture.rows * picture.columns * picture.frames * picture.samples * picture.bits[0] // 8
    if picture.pixel_bytes is not None and picture.pixel_bytes < needed:
        what = "a slice holds" if picture.frame is None else f"{picture.frames} frames hold"
        received = f"{picture.pixel_bytes} bytes{where}"
        raise bad_input(picture.file, f"{what} {needed} bytes of pixels", received, remedy)


def _check_bits(picture: Slice) -> None:
    allocated, stored, high = picture.bits
    if allocated not in (8, 16, 32, 64) or not 0 < stored <= high + 1 <= allocated:
        raise bad_input(
            picture.file,
            "a pixel has 8, 16, 32 or 64 bits, and holds those that are in use",
            f"{allocated} bits, {stored} of them in use, the highest is number {high}",
            "Export the series again.",
        )


def read_voxels(slices: Sequence[Slice]) -> np.ndarray:
    """Return the slices in their order as (X, Y, Z) in HU, int16 if that loses nothing, else float32.

    X runs along the rows, Y down the picture. Each slice is rescaled by its own slope and intercept.

    Raises:
        InputError: a slice that cannot be decoded, named.
    """
    first = slices[0]
    integral = all(_is_integral(picture) for picture in slices)
    at_once = integral and all(_fits_int16(picture) for picture in slices)
    voxels = np.empty((len(slices), first.rows, first.columns), dtype=np.int16 if at_once else np.float32)
    for index, stored in _decoded(slices):
        picture = slices[index]
        if at_once:
            voxels[index] = stored.astype(np.int32) + int(picture.intercept)
        else:
            voxels[index] = stored * float(picture.slope) + float(picture.intercept)
    if integral and not at_once and voxels.min() >= -32768 and voxels.max() <= 32767:
        voxels = voxels.astype(np.int16)
    return voxels.transpose(2, 1, 0)


def _decoded(slices: Sequence[Slice]) -> Iterator[tuple[int, np.ndarray]]:
    """Yield (index, stored values (rows, columns)) of each slice; of a multi-frame file in the file's order."""
    in_file = sorted(range(len(slices)), key=[picture.frame or 0 for picture in slices].__getitem__)
    ordered = [slices[index] for index in in_file]
    by_simpleitk = decode_jpegs(_encoded([picture for picture in ordered if picture.syntax in _BY_SIMPLEITK]))
    by_pydicom = _by_pydicom([picture for picture in ordered if picture.syntax not in _BY_SIMPLEITK])
    for index, picture in zip(in_file, ordered, strict=True):
        with _named(picture):
            stored = _checked(next(by_simpleitk if picture.syntax in _BY_SIMPLEITK else by_pydicom), picture)
        yield index, stored


def _by_pydicom(slices: Sequence[Slice]) -> Iterator[np.ndarray]:
    from pydicom.pixels import iter_pixels, pixel_array

    if slices[0].frame is None:
        yield from (pixel_array(picture.file) for picture in slices)
    else:
        yield from iter_pixels(slices[0].file, indices=[picture.frame or 0 for picture in slices])


def _encoded(slices: Sequence[Slice]) -> Iterator[tuple[bytes, Slice]]:
    """Yield the bytes of each slice, whose frame numbers ascend."""
    from pydicom import dcmread
    from pydicom.encaps import generate_frames

    if slices[0].frame is None:
        for picture in slices:
            with _named(picture):
                frame = next(generate_frames(dcmread(picture.file).PixelData, number_of_frames=1))
            yield frame, picture
        return
    with _named(slices[0]):
        frames = list(generate_frames(dcmread(slices[0].file).PixelData, number_of_frames=slices[0].frames))
    yield from ((frames[picture.frame or 0], picture) for picture in slices)


@contextmanager
def _named(picture: Slice) -> Iterator[None]:
    """Turn whatever a decoder raises into bad input that names the slice."""
    from pydicom.uid import UID

    try:
        with quiet_pydicom():
            yield
    except (InputError, MemoryError):
        raise
    except Exception as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        received = f"{UID(picture.syntax).name}: {reason} ({picture.name}, {_place(picture)})"
        remedy = "Copy or export the series again, uncompressed if the decoder is the trouble."
        raise bad_input(picture.file, "every slice can be decoded", received, remedy) from error


def _checked(stored: np.ndarray, picture: Slice) -> np.ndarray:
    if stored.shape != (picture.rows, picture.columns):
        raise ValueError(f"a picture of {stored.shape} for {picture.rows} rows and {picture.columns} columns")
    allocated, bits, high = picture.bits
    if picture.pixel_bytes is None or bits == allocated or stored.dtype.itemsize * 8 != allocated:
        return stored
    # Unused bits may hold an overlay: they are shifted out, and the sign comes back with the shift to the right.
    return (stored << (allocated - 1 - high)) >> (allocated - bits)


def _place(picture: Slice) -> str:
    if picture.position is None:
        return "position unknown"
    return "(" + ", ".join(f"{value:.2f}" for value in picture.position) + ") mm"


def _is_integral(picture: Slice) -> bool:
    return picture.slope == 1 and picture.intercept == int(picture.intercept)


def _fits_int16(picture: Slice) -> bool:
    bits = picture.bits[1]
    low, high = (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1) if picture.signed else (0, 2**bits - 1)
    return low + picture.intercept >= -32768 and high + picture.intercept <= 32767


@cache
def _missing_decoder(syntax: str) -> tuple[str, str] | None:
    from pydicom.pixels import get_decoder
    from pydicom.uid import UID

    if syntax in _BY_SIMPLEITK:
        return None
    name = f"transfer syntax {UID(syntax).name}" + ("" if UID(syntax).name == syntax else f" ({syntax})")
    try:
        decoder = get_decoder(UID(syntax))
    except NotImplementedError:
        return f"{name}, which pydicom doesn't know", "Export the series again, uncompressed."
    if decoder.is_available:
        return None
    package = f"Install its decoder (pip install {_PACKAGE_HTJ2K}), or export" if "High-Thr" in name else "Export"
    return name, f"{package} the series again, uncompressed."
