"""The input that a seed and a number stand for: the same one each time, on every machine."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from random import Random

from tests.fuzz import dicom_inputs, folder_inputs, nifti_inputs

_FAMILIES = {
    nifti_inputs.write: 45,
    dicom_inputs.write_series: 33,
    dicom_inputs.write_multiframe: 9,
    folder_inputs.write_archive: 5,
    folder_inputs.write_folder: 8,
}


@dataclass(frozen=True)
class Case:
    """An odd input.

    Attributes:
        number: it has in its seed's list.
        path: of the file or folder to give to the command.
        what: was done to it, in words.
    """

    number: int
    path: Path
    what: str


def make(seed: int, number: int, folder: Path) -> Case:
    """Write the input with this number into ``folder`` and return it."""
    rng = Random(f"{seed}/{number}")
    write = rng.choices(list(_FAMILIES), list(_FAMILIES.values()))[0]
    path, what = write(folder, rng, f"in{number:06d}")
    return Case(number, path, what)
