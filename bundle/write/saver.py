"""What all transforms have in common that write one file into the folder of a case."""

from __future__ import annotations

import os
from collections.abc import Hashable, Mapping
from pathlib import Path
from typing import Any

from monai.config import KeysCollection
from monai.data import MetaTensor
from monai.transforms import MapTransform

from bundle.write.case import case_folder, timed

IMAGE_KEY = "image"
"""Where the scan is in the data: in HU, on the grid of the mask."""


class Saver(MapTransform):
    """Write ``<output_dir>/<case>/<file_name>`` with :meth:`write`; its seconds join the report as ``stage``.

    Args:
        keys: masks or probabilities on the scan's own grid; of several keys the last one stays.
        output_dir: parent of the case folders.
    """

    file_name: str
    stage: str

    def __init__(
        self, keys: KeysCollection, output_dir: str | os.PathLike[str], allow_missing_keys: bool = False
    ) -> None:
        super().__init__(keys, allow_missing_keys)
        self.output_dir = output_dir

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        d = dict(data)
        for key in self.key_iterator(d):
            with timed(d[key], self.stage):
                self.write(d, d[key], case_folder(self.output_dir, d, d[key]) / self.file_name)
        return d

    def write(self, data: dict[Hashable, Any], volume: MetaTensor, path: Path) -> None:
        """Write the file for one key; ``data`` is a copy that may be added to."""
        raise NotImplementedError
