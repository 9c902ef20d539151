"""Rendering in one call: an anatomy and a seed to a scan with its truth."""

from __future__ import annotations

from dataclasses import replace

import torch

from bundle.rendering.anatomy import Anatomy
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


def scan_seed(seed: int, index: int) -> int:
    """Seed of scan ``index`` in a data set: neighbours share nothing."""
    return integer(torch.Generator().manual_seed(seed * 1_000_003 + index), 2**31)
