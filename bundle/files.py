"""Files that appear complete or not at all."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import nibabel as nib
import numpy as np

from bundle.errors import bad_input


def make_folder(folder: str | os.PathLike[str]) -> Path:
    """Make the folder of a command's output if it is missing and return its path: before, not after, hours of work.

    Raises:
        InputError: it is a file, or cannot be made.
    """
    folder = Path(folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except FileExistsError as error:
        raise bad_input(folder, "the output is a folder", "a file", "Give another --output.") from error
    except OSError as error:
        raise bad_input(folder, "the output folder can be made", error, "Give another --output.") from error
    return folder


@contextmanager
def replacing(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Give a temporary name beside ``path`` to write to, and rename it to ``path`` when the block ends well.

    The folder is made. The temporary name keeps the suffixes, from which writers tell the format; it begins with a dot
    and is removed if the block fails.

    Raises:
        InputError: ``path`` is a folder, or its own folder cannot be made.
    """
    target = Path(path)
    make_folder(target.parent)
    if target.is_dir():
        raise bad_input(target, "the output is a file", "a folder", "Give the name of a file.")
    temporary = target.with_name(f".{os.getpid()}.{target.name}")
    try:
        yield temporary
        os.replace(temporary, target)
    finally:
        temporary.unlink(missing_ok=True)


def write_text(text: str, path: str | os.PathLike[str]) -> None:
    """Write ``text`` as UTF-8; bytes of file names that are no text appear escaped."""
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8", errors="backslashreplace")


def write_nifti(voxels: np.ndarray, affine: np.ndarray, path: str | os.PathLike[str]) -> None:
    """Write (X, Y, Z) voxels as they are; ``affine`` (4, 4), RAS+ in mm, becomes the header's sform and qform."""
    image = nib.Nifti1Image(voxels, affine)
    image.header.set_xyzt_units("mm")
    image.set_qform(image.affine, code=1)
    image.set_sform(image.affine, code=1)
    with replacing(path) as temporary:
        nib.save(image, temporary)
