"""bundle.training.SeveralPatches: several patches of a scan that is loaded once."""

from __future__ import annotations

import torch
from monai.data import DataLoader
from monai.transforms import Compose, MapTransform, RandSpatialCropd
from monai.transforms.traits import RandomizableTrait

from bundle.training import CachedScans, SeveralPatches

CROP = RandSpatialCropd("image", roi_size=(2, 2, 2), random_size=False)


class Loaded(MapTransform):
    """Stand-in of what loads and is cached; counts."""

    calls = 0

    def __call__(self, data: dict) -> dict:
        Loaded.calls += 1
        return {"image": torch.arange(512.0).reshape(1, 8, 8, 8)}


def test_patches_differ_in_place():
    patches = SeveralPatches(CROP, 4)(Loaded("image")({}))
    assert len(patches) == 4
    assert len({float(patch["image"].min()) for patch in patches}) > 1


def test_one_patch_is_no_list():
    assert SeveralPatches(CROP)(Loaded("image")({}))["image"].shape == (1, 2, 2, 2)


def test_the_seed_reaches_the_transform_within():
    first, second, other = (
        torch.stack([patch["image"] for patch in SeveralPatches(CROP, 3).set_random_state(seed)(Loaded("image")({}))])
        for seed in (7, 7, 8)
    )
    assert torch.equal(first, second) and not torch.equal(first, other)


def test_a_batch_holds_the_patches_of_its_scans_which_are_loaded_once_and_named(tmp_path):
    Loaded.calls = 0
    transform = Compose([Loaded("image"), SeveralPatches(CROP, 3)])
    scans = CachedScans([{"image": f"scan{n}.nii"} for n in range(2)], transform, tmp_path)
    (batch,) = DataLoader(scans, batch_size=2, num_workers=0)
    assert batch["image"].shape == (6, 1, 2, 2, 2)
    assert batch["case"] == ["scan0"] * 3 + ["scan1"] * 3
    assert Loaded.calls == 2


def test_it_is_not_cached():
    assert isinstance(SeveralPatches(CROP), RandomizableTrait)
