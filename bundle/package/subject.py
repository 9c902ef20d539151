"""The bundle that is verified, which lies somewhere else than this process runs."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bundle.package.phantoms import write_phantoms


class Skipped(Exception):
    """A check that cannot be made here; the message says why."""


@dataclass(frozen=True)
class Bundle:
    """The bundle to verify.

    Args:
        root: absolute.
        scratch: folder for everything that the checks write.
    """

    root: Path
    scratch: Path

    def path(self, name: str) -> str:
        """Return the path of a file of the bundle."""
        return str(self.root / name)

    @property
    def metadata(self) -> dict[str, Any]:
        """Return the content of metadata.json."""
        return dict(json.loads((self.root / "configs" / "metadata.json").read_text(encoding="utf-8")))

    def settings(self, output: str) -> dict[str, Any]:
        """Return the settings that every workflow of the checks has in common."""
        folder = self.scratch / output
        dataset = self.scratch / "phantoms"
        if not dataset.is_dir():
            write_phantoms(dataset)
        return {
            "bundle_root": str(self.root),
            "dataset_dir": str(dataset),
            "output_dir": str(folder),
            "ckpt_dir": str(self.scratch / "trained"),
            "device": "$torch.device('cpu')",
        }
