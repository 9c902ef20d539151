"""Rendering in one call: an anatomy and a seed to a scan with its truth; and a data set that renders as it is read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from monai.data import MetaTensor
from torch.utils.data import Dataset

from bundle.rendering.anatomy import Anatomy, read_anatomy
from bundle.rendering.appearance import paint
from bundle.rendering.body import draw_body
from bundle.rendering.deformation import deform
from bundle.rendering.draws import integer
from bundle.rendering.scanner import RenderedScan, ScannerSettings, acquire
from bundle.rendering.transplant import transplant


def render_scan(
    anatomy: Anatomy | None,
    seed: int,
    settings: ScannerSettings | None = None,
    device: str | torch.device = "cpu",
    phase: str | None = None,
    gland: Anatomy | None = None,
    deformation: float = 1.0,
) -> RenderedScan:
    """Deform, paint and scan an anatomy; the same seed gives the same scan.

    Args:
        anatomy: whom to scan; None draws a procedural body.
        seed: of everything random.
        settings: the scanner's; default :class:`ScannerSettings`.
        device: where to compute. Seeds repeat within a kind of device: CPU and GPU differ in their noise.
        phase: contrast phase, drawn if None.
        gland: whose pancreas takes the place of the body's own, see :func:`~bundle.rendering.transplant.transplant`.
        deformation: strength of the random deformation, see :func:`~bundle.rendering.deformation.deform`.
    """
    generator = torch.Generator().manual_seed(seed)
    if anatomy is None:
        body = draw_body(generator)
        anatomy = replace(body, patient=f"procedural_{seed}")
    anatomy = replace(anatomy, tissues=anatomy.tissues.to(device))
    if gland is not None:
        anatomy = transplant(anatomy, replace(gland, tissues=gland.tissues.to(device)), generator)
    painted = paint(deform(anatomy, generator, deformation), generator, phase=phase)
    scan = acquire(painted, generator, settings or ScannerSettings())
    return replace(scan, facts={"patient": anatomy.patient, "seed": seed, **scan.facts})


class RenderedScans(Dataset):
    """Scans rendered as they are asked for; item ``i`` depends on ``(seed, i)`` only.

    Args:
        anatomies: to draw from with equal chances: anatomies, files of anatomies, None for a procedural body.
        length: number of scans.
        seed: of the whole data set. Training takes another one each epoch, or a large ``length``.
        settings: the scanner's.
        device: where to compute.
    """

    def __init__(
        self,
        anatomies: Sequence[Anatomy | str | Path | None],
        length: int,
        seed: int = 0,
        settings: ScannerSettings | None = None,
        device: str | torch.device = "cpu",
    ) -> None:
        self.anatomies = list(anatomies)
        self.length = length
        self.seed = seed
        self.settings = settings or ScannerSettings()
        self.device = device

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, index: int) -> dict[str, Any]:
        """Return ``image`` (1, X, Y, Z) float32 HU, ``label`` (1, X, Y, Z) uint8, both with affine, and ``facts``."""
        if not 0 <= index < self.length:
            raise IndexError(index)
        seed = scan_seed(self.seed, index)
        chosen = self.anatomies[seed % len(self.anatomies)]
        anatomy = read_anatomy(chosen) if isinstance(chosen, (str, Path)) else chosen
        scan = render_scan(anatomy, seed, self.settings, self.device)
        affine = torch.from_numpy(scan.affine)
        image = torch.from_numpy(scan.image_hu.copy()).to(torch.float32)[None]
        label = torch.from_numpy(scan.label.copy())[None]
        return {
            "image": MetaTensor(image, affine=affine),
            "label": MetaTensor(label, affine=affine),
            "facts": scan.facts,
        }


def scan_seed(seed: int, index: int) -> int:
    """Seed of scan ``index`` in a data set: neighbours share nothing."""
    return integer(torch.Generator().manual_seed(seed * 1_000_003 + index), 2**31)
