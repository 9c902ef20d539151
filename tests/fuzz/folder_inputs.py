"""Archives, folders and names: what may hold a scan, and what only looks as if it did."""

from __future__ import annotations

import gzip
import io
import os
import socket
import struct
import zipfile
from pathlib import Path
from random import Random

from tests.fuzz import phantom
from tests.fuzz.damage import damaged
from tests.fuzz.dicom_inputs import write_series
from tests.fuzz.nifti_inputs import write as write_nifti

_NAMES = (
    *("ä ö ü", "扫描", "\u202ecod.exe", "a\nb", "a\tb", "\x1b[31mred", "-o", "--help", "~", "$(touch x)"),
    *("%s%n", "[red]x"),
    *("<img src=x onerror=alert(1)>", "a'b\"c", "..", ".", "...", "", " ", "con", "index.html"),
    *("errors.log", "segmentation"),
    *("report", "a" * 240, "ü" * 120, b"\xff\xfe".decode(errors="surrogateescape"), "a;b", "a|b", "case_001"),
)
_LISTS = (
    *("", "{}", "[]", "null", "[" * 5000, '{"test": 1}', '{"test": ["healthy.nii.gz"]}', '{"test": [{"image": 5}]}'),
    *('{"test": ["../../../../gone/passwd.nii"]}', '{"test": ["gone.nii.gz"]}', '{"test": [null]}', '{"test": ["."]}'),
    *('{"test": ["\\u0000"]}', '{"test": ["\\ud800"]}', '{"training": [{"image": "healthy.nii.gz"}]}'),
    *("\xff\xfe", "NaN"),
    *('{"test": ["' + "a" * 5000 + '"]}', '{"test": ["healthy.nii.gz", "healthy.nii.gz"]}', '{"test": {"image": "x"}}'),
)


def healthy_nifti() -> bytes:
    """The healthy scan as .nii.gz."""
    return gzip.compress(phantom.nifti().to_bytes(), 1, mtime=0)


def write_archive(folder: Path, rng: Random, name: str) -> tuple[Path, str]:
    """Write one odd archive and return it with what is odd."""
    members: list[tuple[str, bytes]] = [(f"s/{i}.dcm", content) for i, content in enumerate(phantom.dicom_slices())]
    if rng.random() < 0.5:
        members = [("healthy.nii.gz", healthy_nifti())]
    kinds = ("damaged", "member", "outside", "nested", "empty", "many", "bomb", "password", "method", "suffix", "list")
    kind, what = rng.choice(("damaged", *kinds)), ""
    if kind == "member":
        what = rng.choice(
            ("s", "healthy.nii.gz", "x" * 300, "a/" * 600 + "b", "\0", "a\0b", "/", "", "x/", "__MACOSX/a", "扫描.nii")
        )
        members.append((what, b"text"))
    elif kind == "outside":
        what = rng.choice(
            ("../x", "/absolute/fuzz-x", "a/../../x", "..\\x", "C:\\x", "\\\\host\\x", "./../x", "a/./../..", "~/x")
        )
        members.append((what, b"text"))
    elif kind == "nested":
        members = [("inner.zip", _zipped(members))] + (members if rng.random() < 0.5 else [])
    elif kind == "empty":
        members = []
    elif kind == "many":
        members += [(f"d{i % 50}/{i}", b"") for i in range(1000)]
    elif kind == "list":
        what = rng.choice(_LISTS)
        members = [("healthy.nii.gz", healthy_nifti()), ("dataset.json", what.encode("latin1"))]
    methods = (zipfile.ZIP_DEFLATED, zipfile.ZIP_STORED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA)
    content = _zipped(members, rng.choice(methods[:2] if kind == "many" else methods))
    if kind == "damaged":
        content, what = damaged(content, rng, first=rng.choice((0, max(0, len(content) - 300))))
    elif kind == "bomb":
        size = rng.choice((2**32 - 2, 2**31, 30 * 2**30 % 2**32, 10))
        content = _with_size(content, size)
        what = f"says {size} bytes"
    elif kind == "password":
        content = _flagged(content)
    elif kind == "method":
        content = _with_method(content, rng.choice((9, 12, 14, 93, 99, 1)))
    suffix = rng.choice((".tar", ".tar.gz", ".7z", ".rar")) if kind == "suffix" else rng.choice(
        (".zip", ".zip", ".ZIP")
    )
    path = folder / f"{name}{suffix}"
    path.write_bytes(content)
    return path, f"archive: {kind} {what[:80]!r}"


def write_folder(folder: Path, rng: Random, name: str) -> tuple[Path, str]:
    """Write one odd folder, or a file with an odd name, and return it with what is odd."""
    root = folder / name
    root.mkdir()
    kind = rng.choice(
        ("name", "name", "folder name", "list", "links", "special", "mixed", "deep", "text", "same name", "direct")
    )
    what = ""
    if kind in ("name", "folder name"):
        what = rng.choice(_NAMES)
        if kind == "name":
            path = _written(root / f"{what}{rng.choice(('.nii.gz', '.nii.gz', '.NII.gz'))}", healthy_nifti())
            root = path if rng.random() < 0.6 else root
        elif what not in ("", ".", ".."):
            (root / what).mkdir()
            for index, content in enumerate(phantom.dicom_slices()):
                (root / what / str(index)).write_bytes(content)
            root = root / what if rng.random() < 0.6 else root
    elif kind == "list":
        what = rng.choice(_LISTS)
        _written(root / "healthy.nii.gz", healthy_nifti())
        _written(root / "dataset.json", what.encode("latin1"))
    elif kind == "links":
        _written(root / "a.nii.gz", healthy_nifti())
        (root / "loop").symlink_to(root)
        (root / "self.nii.gz").symlink_to(root / "self.nii.gz")
        (root / "broken.nii.gz").symlink_to(root / "nowhere")
        root = rng.choice((root, root, root / "self.nii.gz", root / "broken.nii.gz", root / "loop"))
    elif kind == "special":
        what = rng.choice(("fifo", "socket", "/dev/null", "/dev/zero", "/proc/self/mem", "/proc/self/environ", "/"))
        root = _special(root / rng.choice(
            ("x.nii.gz", "x.nii", "x.dcm", "x", "x.zip")
        ), what) if rng.random() < 0.5 else root
        if root.is_dir():
            _special(root / rng.choice(("x.nii.gz", "x.nii", "x.dcm", "x", "x.zip")), what)
    elif kind == "mixed":
        done = [write_nifti(root, rng, "m"), write_series(root, rng, "s"), write_series(root, rng, "t")]
        _written(root / "healthy.nii.gz", healthy_nifti())
        what = " | ".join(text for _, text in done)
    elif kind == "deep":
        what = str(depth := rng.choice((5, 50, 400)))
        inner = root.joinpath(*["d"] * depth)
        inner.mkdir(parents=True)
        _written(inner / "a.nii.gz", healthy_nifti())
    elif kind == "text":
        what = rng.choice(("x.nii.gz", "x.nii", "x.dcm", "x.txt", "x", "x.mgz", "x.mnc", "x.img", "x.nrrd"))
        content = rng.choice((b"", b"hello", bytes(1000), b"\x1f\x8b", rng.randbytes(1000), b"\0" * 128 + b"DICM"))
        root = _written(root / what, content) if rng.random() < 0.5 else _written(root / what, content).parent
    elif kind == "same name":
        long = rng.choice(("a", "a" * 240))
        for part in ("p", "q" * 200):
            (root / part).mkdir()
            _written(root / part / f"{long}.nii.gz", healthy_nifti())
    else:
        what = rng.choice(("gone", "gone.nii.gz", "x" * 5000, "file/x"))
        root = root / what
    return root, f"folder: {kind} {what[:2000]!r}"


def _written(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path


def _special(path: Path, what: str) -> Path:
    if what == "fifo":
        os.mkfifo(path)
    elif what == "socket":
        here = os.getcwd()
        os.chdir(path.parent)  # the name of a socket has at most 107 bytes
        with socket.socket(socket.AF_UNIX) as server:
            server.bind(path.name)
        os.chdir(here)
    elif what == "/":
        path.symlink_to(path.parent / "nowhere" / "..")
    else:
        path.symlink_to(what)
    return path


def _zipped(members: list[tuple[str, bytes]], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as archive:
        for name, content in members:
            info = zipfile.ZipInfo("x", (2020, 1, 1, 0, 0, 0))
            info.filename, info.compress_type = name, method
            archive.writestr(info, content)
    return buffer.getvalue()


def _directory(content: bytes) -> list[int]:
    """Where the entries of the central directory begin."""
    places, at = [], content.find(b"PK\1\2")
    while at >= 0:
        places.append(at)
        at = content.find(b"PK\1\2", at + 4)
    return places


def _patched(content: bytes, offset: int, value: bytes) -> bytes:
    changed = bytearray(content)
    for place in _directory(content):
        changed[place + offset : place + offset + len(value)] = value
    return bytes(changed)


def _with_size(content: bytes, size: int) -> bytes:
    return _patched(content, 24, struct.pack("<L", size))


def _with_method(content: bytes, method: int) -> bytes:
    return _patched(content, 10, struct.pack("<H", method))


def _flagged(content: bytes) -> bytes:
    return _patched(content, 8, struct.pack("<H", 1))
