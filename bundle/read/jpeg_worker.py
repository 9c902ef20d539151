"""Decode every DICOM file of a folder (the argument): run by :mod:`bundle.read.jpeg`, without the rest of the bundle.

Beside each file comes its array (.npy), or the reason why there is none (.txt).
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import SimpleITK


def main(folder: Path) -> None:
    """Decode the files in order of their names, so that the first without a result is the one that ended this."""
    for path in sorted(folder.glob("*.dcm")):
        try:
            values = SimpleITK.GetArrayFromImage(SimpleITK.ReadImage(str(path), imageIO="GDCMImageIO"))
        except RuntimeError as error:
            # the last line says why, the ones before where in the library
            path.with_suffix(".txt").write_text(str(error).strip().splitlines()[-1], encoding="utf-8")
        else:
            np.save(path.with_suffix(".npy"), values.reshape(values.shape[-2:]) if len(values) == 1 else values)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
