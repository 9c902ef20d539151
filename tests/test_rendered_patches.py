"""Training on scans that are rendered as it goes on."""

from __future__ import annotations

from functools import partial

import pytest
import torch
from monai.data import DataLoader

import bundle.training.rendered as rendered
from bundle.errors import InputError
from bundle.rendering.dataset import plan_scans
from bundle.rendering.scanner import ScannerSettings
from bundle.rendering.tissues import CLASSES
from bundle.training import RenderedPatches


def as_it_is(item):
    return item


@pytest.fixture
def seeds(monkeypatch):
    """Instead of rendering, a scan is the seed of its order; all of them, in that order."""
    rendered_seeds = []

    def note(order, device):
        rendered_seeds.append(order.seed)
        return {"seed": order.seed}

    monkeypatch.setattr(rendered, "_rendered", note)
    return rendered_seeds


def stream(**settings):
    return RenderedPatches(plan_scans, as_it_is, as_it_is, CLASSES, **settings)


def test_an_epoch_has_as_many_patches_of_each_scan_as_asked_for(seeds):
    patches = [item["seed"] for item in stream(scans=5, patches_per_scan=3, pool=1)]
    assert len(patches) == len(stream(scans=5, patches_per_scan=3)) == 15
    assert [patches.count(seed) for seed in dict.fromkeys(patches)] == [3] * 5


def test_patches_come_from_the_latest_scans_only(seeds):
    patches = [item["seed"] for item in stream(scans=6, patches_per_scan=4, pool=2)]
    assert all(seeds.index(seed) in (i // 4, i // 4 - 1) for i, seed in enumerate(patches))


def test_another_epoch_has_other_scans(seeds):
    patches = stream(scans=3, patches_per_scan=1, pool=1)
    assert not {item["seed"] for item in patches} & {item["seed"] for item in patches}


def test_the_same_seed_gives_the_same_scans(seeds):
    patches = stream(scans=3, patches_per_scan=2)
    torch.manual_seed(7)
    first = list(patches)
    torch.manual_seed(7)
    assert list(patches) == first


def test_classes_that_the_renderer_does_not_draw_are_refused():
    with pytest.raises(InputError, match="rendered scans have the classes"):
        RenderedPatches(plan_scans, as_it_is, as_it_is, ("background", "heart"))


def test_two_workers_share_the_scans():
    coarse = ScannerSettings(in_plane_spacing_mm=(4.0, 4.0), slice_thickness_mm=(8.0, 8.0))
    patches = RenderedPatches(partial(plan_scans, settings=coarse), as_it_is, as_it_is, CLASSES, 2, 1, 1)
    items = list(DataLoader(patches, batch_size=1, num_workers=2))
    assert len(items) == 2
    assert items[0]["image"].shape[2:] != items[1]["image"].shape[2:] or (items[0]["image"] != items[1]["image"]).any()
    assert all(item["label"].max() > 0 for item in items)
