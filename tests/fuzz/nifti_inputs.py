"""NIfTI files with odd headers, odd voxels and damaged bytes."""

from __future__ import annotations

import gzip
import io
from pathlib import Path
from random import Random

import nibabel as nib
import numpy as np
from nibabel.spatialimages import HeaderDataError

from tests.fuzz import phantom
from tests.fuzz.damage import damaged

_INTEGERS = (0, 1, -1, 2, 3, 4, 5, 7, 8, 16, 64, 128, 255, 256, 348, 1500, 1501, 1792, 2304, 3001, 32767, -32768)
_FLOATS = (0.0, 1.0, -1.0, 0.5, 2.0, 352.0, 348.0, 1e-30, 1e-45, 1e5, 1e30, 3e38, -3e38, np.nan, np.inf, -np.inf, 1e-3)
_SHAPES = ((24, 22, 14, 1), (24, 22, 7, 2), (24, 22, 1, 14), (24, 308), (7392,), (12, 22, 14, 1, 1, 2), (0, 22, 14))


def write(folder: Path, rng: Random, name: str) -> tuple[Path, str]:
    """Write one odd file and return it with what was done to it."""
    image, done = phantom.nifti(), []
    for _ in range(rng.choice((0, 1, 1, 2))):
        change = rng.choice((_voxels, _voxels, _type, _scaling, _affine, _shape))
        image, what = change(image, rng)
        done.append(what)
    content = _to_bytes(image, rng.random() < 0.15)
    for _ in range(rng.choice((0, 1, 1, 2, 3))):
        content, what = rng.choice(
            (_field, _field, _field, _field, _bytes, _endian, _magic, _extension, _huge)
        )(content, rng)
        done.append(what)
    content, suffix, what = rng.choice((_plain, _plain, _packed, _packed, _packed, _packed_badly))(content, rng)
    path = folder / f"{name}{suffix}"
    path.write_bytes(content)
    return path, "; ".join((*done, what))


def _to_bytes(image: nib.Nifti1Image, nifti2: bool) -> bytes:
    if nifti2:
        image = nib.Nifti2Image(image.dataobj, image.affine, image.header)
    buffer = io.BytesIO()
    image.to_file_map({"image": nib.FileHolder(fileobj=buffer), "header": nib.FileHolder(fileobj=buffer)})
    return buffer.getvalue()


def _remade(image: nib.Nifti1Image, voxels: np.ndarray, affine: np.ndarray | None = None) -> nib.Nifti1Image:
    try:
        return nib.Nifti1Image(voxels, image.affine if affine is None else affine, dtype=voxels.dtype)
    except HeaderDataError:  # no rotation can be made of this affine
        return nib.Nifti1Image(voxels, None, dtype=voxels.dtype)


def _voxels(image: nib.Nifti1Image, rng: Random) -> tuple[nib.Nifti1Image, str]:
    hu = np.asarray(image.dataobj).astype(np.float64)
    noise = np.random.default_rng(rng.randrange(2**32)).normal(size=hu.shape)
    if not hu.size:
        return image, "no voxels"
    one = tuple(rng.randrange(size) for size in hu.shape)
    kinds = {
        "one NaN": (_with(hu, one, np.nan), np.float32),
        "one infinite": (_with(hu, one, np.inf), np.float32),
        "all NaN": (hu * np.nan, np.float64),
        "one 1e38": (_with(hu, one, 1e38), np.float32),
        "one -1e38": (_with(hu, one, -1e38), np.float32),
        "one 1e300": (_with(hu, one, 1e300), np.float64),
        "one 32767": (_with(hu, one, 32767), np.int16),
        "constant": (hu * 0 + rng.choice((-1000, 0, 40)), np.int16),
        "8 bit": (np.clip((hu + 160) / 400 * 255, 0, 255), np.uint8),
        "0 to 1": ((hu + 1000) / 2000, np.float32),
        "stored values": (hu + 1024, np.uint16),
        "1024 too low": (hu - 1024, np.int16),
        "ten times": (hu * 10, np.int32),
        "negative": (-hu, np.int16),
        "all air": (noise * 5 - 1000, np.float32),
        "noise in HU": (noise * 300, np.float32),
        "no pancreas": (np.where(hu == phantom.PANCREAS_HU, 40, hu), np.int16),
        "all pancreas": (np.where(hu > -50, phantom.PANCREAS_HU, hu), np.int16),
        "a voxel of pancreas": (_with(np.where(hu == phantom.PANCREAS_HU, 40, hu), (10, 10, 7), 110), np.int16),
        "padding": (np.where(hu < -900, -3024, hu), np.int16),
        "metal": (_with(hu, one, 3071), np.int16),
        "at the border": (np.roll(hu, rng.randrange(24), rng.randrange(hu.ndim)), np.int16),
        "turned around": (np.flip(hu, rng.randrange(hu.ndim)), np.int16),
        "windowed": (np.clip(hu, -200, 300), np.int16),
    }
    name = rng.choice(list(kinds))
    values, dtype = kinds[name]
    with np.errstate(invalid="ignore", over="ignore"):
        return _remade(image, values.astype(dtype)), name


def _with(hu: np.ndarray, place: tuple[int, ...], value: float) -> np.ndarray:
    changed = hu.copy()
    changed[tuple(min(index, size - 1) for index, size in zip(place, hu.shape))] = value
    return changed


def _type(image: nib.Nifti1Image, rng: Random) -> tuple[nib.Nifti1Image, str]:
    names = ("u1", "i1", "u2", "i4", "u4", "i8", "u8", "f4", "f8", "c8", "c16", "bool")
    dtype = np.dtype(np.uint8 if (name := rng.choice(names)) == "bool" else name)
    with np.errstate(all="ignore"):
        return _remade(image, np.asarray(image.dataobj).astype(dtype)), f"type {name}"


def _scaling(image: nib.Nifti1Image, rng: Random) -> tuple[nib.Nifti1Image, str]:
    slope, inter = rng.choice(_FLOATS), rng.choice((0, -1024, 1024, 0.5, *_FLOATS))
    stored = np.asarray(image.dataobj)
    made = _remade(image, (stored + 1024).astype(np.uint16) if inter == -1024 and stored.dtype == np.int16 else stored)
    made.header["scl_slope"], made.header["scl_inter"] = slope, inter
    made.header.set_slope_inter(slope if np.isfinite(slope) and slope else 1, inter if np.isfinite(inter) else 0)
    return made, f"slope {slope} inter {inter}"


def _affine(image: nib.Nifti1Image, rng: Random) -> tuple[nib.Nifti1Image, str]:
    affine, name = np.array(image.affine if image.affine is not None else np.eye(4)), rng.choice(
        ("permuted", "rotated", "sheared", "scaled", "moved", "flat")
    )
    if name == "permuted":
        affine[:, :3] = affine[:, rng.sample(range(3), 3)] * [rng.choice((-1, 1)) for _ in range(3)]
    elif name == "rotated":
        a = np.radians(rng.choice((0.5, 5, 30, 44, 45, 46, 90, 180)))
        turn = np.array([[np.cos(a), -np.sin(a), 0, 0], [np.sin(a), np.cos(a), 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]])
        axes = [*rng.sample(range(3), 3), 3]
        affine = turn[np.ix_(axes, axes)] @ affine
    elif name == "sheared":
        affine[rng.randrange(3), rng.randrange(3)] += rng.choice((0.05, 0.5, 1, 2, 3.9, 4, 10, -2))
    elif name == "scaled":
        affine[:, rng.randrange(3)] *= rng.choice((1e-6, 0.01, 0.1, 0.5, 2, 3, 100, 1e6))
    elif name == "moved":
        affine[rng.randrange(3), 3] = rng.choice((1e3, 1e6, 1e9, 1e20, 1e38, -1e30))
    else:
        one, other = rng.sample(range(3), 2)
        affine[:3, one] = affine[:3, other] + rng.choice((1e-3, 0.1)) * affine[:3, one]
    return _remade(image, np.asarray(image.dataobj), affine), name


def _shape(image: nib.Nifti1Image, rng: Random) -> tuple[nib.Nifti1Image, str]:
    voxels = np.asarray(image.dataobj)
    if rng.random() < 0.5:
        shape = rng.choice(_SHAPES)
        return _remade(image, np.resize(voxels, shape)), f"shape {shape}"
    sizes = [rng.choice((1, 2, 7, 8, 9, size)) for size in voxels.shape]
    return _remade(image, voxels[tuple(slice(0, n) for n in sizes)]), f"shape {sizes}"


def _field(content: bytes, rng: Random) -> tuple[bytes, str]:
    """Put an odd value into one field of the header, whatever that does to the rest of the file."""
    kind = nib.Nifti2Header if content[:1] == b"\x1c" and content[1:2] == b"\x02" else nib.Nifti1Header
    dtype = kind.template_dtype
    if len(content) < dtype.itemsize:
        return content, "no header left"
    header = np.frombuffer(content[: dtype.itemsize], dtype=dtype).copy()
    name = rng.choice([n for n in (dtype.names or ()) if header[n].dtype.kind in "iuf"])
    values = header[name].reshape(-1)
    index = rng.randrange(values.size)
    value = rng.choice(_FLOATS if values.dtype.kind == "f" else _INTEGERS)
    with np.errstate(all="ignore"):
        values[index] = np.array(value).astype(values.dtype)
    header[name] = values.reshape(header[name].shape)
    return header.tobytes() + content[dtype.itemsize :], f"{name}[{index}] = {value}"


def _bytes(content: bytes, rng: Random) -> tuple[bytes, str]:
    return damaged(content, rng, last=rng.choice((348, 352, None)))


def _endian(content: bytes, rng: Random) -> tuple[bytes, str]:
    """Turn the bytes of the header around, and with luck those of the voxels."""
    dtype = nib.Nifti1Header.template_dtype
    if len(content) < 352:
        return content, "no header left"
    header = np.frombuffer(content[: dtype.itemsize], dtype=dtype).copy().byteswap()
    voxels = content[352:]
    if rng.random() < 0.5:
        voxels = np.frombuffer(voxels[: len(voxels) // 2 * 2], dtype="<u2").byteswap().tobytes()
    return header.tobytes() + content[348:352] + voxels, "bytes of the header turned"


def _magic(content: bytes, rng: Random) -> tuple[bytes, str]:
    magic = rng.choice((b"ni1\0", b"n+2\0", b"\0\0\0\0", b"n+1\n", b"DICM"))
    return content[:344] + magic + content[348:], f"magic {magic!r}"


def _huge(content: bytes, rng: Random) -> tuple[bytes, str]:
    """Claim gigabytes of voxels."""
    shape = rng.choice(((1500, 1500, 1500), (1000, 1000, 1000), (512, 512, 900), (32767, 32767, 32767), (9, 9, 32767)))
    sizes = np.array([3, *shape, 1, 1, 1, 1], "<i2").tobytes()
    return content[:40] + sizes + content[56:], f"{shape} voxels"


def _extension(content: bytes, rng: Random) -> tuple[bytes, str]:
    size = rng.choice((0, 8, 15, 16, 32, 2**31 - 16, -16, 7, 1000))
    code = rng.choice((0, 2, 4, 6, 32, 44, 99999))
    extension = b"\1\0\0\0" + np.array([size, code], "<i4").tobytes() + b"<CIFTI></CIFTI>\0" + bytes(24)
    offset = np.array(rng.choice((352, 352 + 48, 400, 1e6)), "<f4").tobytes()
    return content[:108] + offset + content[112:348] + extension + content[352:], f"extension of {size}, code {code}"


def _plain(content: bytes, rng: Random) -> tuple[bytes, str, str]:
    return content, rng.choice((".nii", ".nii", ".NII", ".nii.gz")), "not packed"


def _packed(content: bytes, rng: Random) -> tuple[bytes, str, str]:
    return gzip.compress(content, 1, mtime=0), rng.choice((".nii.gz", ".nii.gz", ".NII.GZ", ".nii")), "packed"


def _packed_badly(content: bytes, rng: Random) -> tuple[bytes, str, str]:
    packed = gzip.compress(content, 1, mtime=0)
    if rng.random() < 0.2:
        return gzip.compress(packed, mtime=0), ".nii.gz", "packed twice"
    if rng.random() < 0.2:
        return gzip.compress(content[:5000], mtime=0) + gzip.compress(content[5000:], mtime=0), ".nii.gz", "two members"
    packed, what = damaged(packed, rng)
    return packed, ".nii.gz", f"packed, then {what}"
