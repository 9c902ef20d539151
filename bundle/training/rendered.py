"""Patches of scans that are rendered while the network learns, so that it meets no scan twice."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from monai.data import MetaTensor
from torch.utils.data import IterableDataset, get_worker_info

from bundle.errors import bad_input
from bundle.preprocess import to_ras
from bundle.rendering.anatomy import Anatomy, read_anatomy
from bundle.rendering.dataset import ScanOrder
from bundle.rendering.renderer import render_scan
from bundle.rendering.tissues import CLASSES

Item = dict[str, Any]


class RenderedPatches(IterableDataset):
    """Renders scan after scan and yields patches of the latest ones.

    Each worker of a data loader renders its share of the scans. A pool of the latest scans stands between renderer and
    network, so that patches that follow each other come from different scans. Which scans are drawn depends on torch's
    random numbers: another epoch draws others, the same seed the same.

    Args:
        plan: number of scans and seed to what to render, :func:`~bundle.rendering.dataset.plan_scans` with all the
            rest decided.
        preprocess: from a scan, ``image`` in HU and ``label`` (1, X, Y, Z) in RAS order, to what patches are cut from.
        cut: from that to a patch, random.
        classes: that the network tells apart; those that the renderer draws, in its order.
        scans: rendered in an epoch.
        patches_per_scan: how many patches follow each new scan; ``scans`` times that is the length of an epoch.
        pool: number of latest scans, of each worker.
        device: where to render. Workers of a data loader render on the CPU.

    Raises:
        InputError: ``classes`` are not those of the renderer.
    """

    def __init__(
        self,
        plan: Callable[[int, int], Sequence[ScanOrder]],
        preprocess: Callable[[Item], Item],
        cut: Callable[[Item], Item],
        classes: Sequence[str],
        scans: int = 200,
        patches_per_scan: int = 8,
        pool: int = 8,
        device: str | torch.device = "cpu",
    ) -> None:
        super().__init__()
        if tuple(classes) != CLASSES:
            rule, remedy = f"rendered scans have the classes {', '.join(CLASSES)}", "Train on these, or on files."
            raise bad_input("classes", rule, ", ".join(classes), remedy)
        self.plan = plan
        self.preprocess = preprocess
        self.cut = cut
        self.scans = scans
        self.patches_per_scan = patches_per_scan
        self.pool = pool
        self.device = device

    def __len__(self) -> int:
        return self.scans * self.patches_per_scan

    def __iter__(self) -> Iterator[Item]:
        worker = get_worker_info()
        first, step = (worker.id, worker.num_workers) if worker else (0, 1)
        orders = self.plan(self.scans, int(torch.randint(2**31 - 1, ())))[first::step]
        latest: list[Item] = []
        for order in orders:
            item = self.preprocess(_rendered(order, self.device)) | {"case": _name(order)}
            latest = [*latest, item][-self.pool :]
            for _ in range(self.patches_per_scan):
                yield self.cut(latest[int(torch.randint(len(latest), ()))])


def _rendered(order: ScanOrder, device: str | torch.device) -> Item:
    """Return image and label of an order in RAS order."""
    anatomy, gland = (_anatomy(path) if path else None for path in (order.anatomy, order.gland))
    scan = render_scan(anatomy, order.seed, order.settings, device, gland=gland, deformation=order.deformation)
    affine = torch.from_numpy(scan.affine)
    volumes = {"image": scan.image_hu.astype(np.float32), "label": scan.label.copy()}  # views may be reversed
    return {name: to_ras(MetaTensor(torch.from_numpy(v)[None], affine=affine)) for name, v in volumes.items()}


def _name(order: ScanOrder) -> str:
    body = order.anatomy.name if order.anatomy else "drawn body"
    return f"{body}, seed {order.seed}"


@lru_cache(maxsize=64)
def _anatomy(path: Path) -> Anatomy:
    return read_anatomy(path)
