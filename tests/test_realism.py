"""bundle.rendering.realism: can rendered slices be told from real ones?"""

from __future__ import annotations

import numpy as np
import pytest
import torch

from bundle.rendering.realism import (
    FEATURES,
    SIZE,
    Patch,
    classifier_scores,
    real_patches,
    realism,
    realism_page,
    rendered_patches,
)
from tests.phantoms import write_dataset
from tests.slice_phantoms import write_slices

GLAND = torch.zeros(SIZE, dtype=torch.bool)
GLAND[40:56, 24:40] = True


def patches(texture: float, patients: int = 12) -> list[Patch]:
    """Half of them rendered, with noise of ``texture``; the real ones have noise of 0.05."""
    generator = torch.Generator().manual_seed(0)
    return [
        Patch(0.5 + noise * torch.randn(SIZE, generator=generator), GLAND, f"{rendered} {patient}", rendered)
        for patient in range(patients)
        for rendered, noise in ((True, texture), (False, 0.05))
    ]


def line(page: str, name: str) -> list[str]:
    return next(row for row in page.splitlines() if row.startswith(f"| {name} |")).split(" | ")


def test_a_number_that_differs_tells_them_apart():
    page = realism_page(patches(0.2), np.zeros(24))
    assert line(page, "deviation in the gland")[1].startswith("1.000")
    assert line(page, "deviation in the gland")[2:] == ["0.050 ± 0.002", "0.201 ± 0.008 |"]


def test_slices_alike_are_not_told_apart():
    page = realism_page(patches(0.05), np.zeros(24))
    assert float(line(page, "deviation in the gland")[1].split()[0]) < 0.8
    assert line(page, "network")[1].startswith("0.500")


def test_the_network_finds_the_difference_in_patients_it_has_not_seen():
    both = patches(0.2, patients=16)
    scores = classifier_scores(both, epochs=12, seed=0)
    assert scores[[p.rendered for p in both]].min() > scores[[not p.rendered for p in both]].max()


def test_the_patch_is_centred_on_the_gland(tmp_path):
    for patch in real_patches(write_slices(tmp_path)):
        where = torch.nonzero(patch.gland).float().mean(dim=0)
        assert patch.gland.shape == SIZE and (where - torch.tensor(SIZE) / 2).abs().max() <= 1


def test_only_rendered_scans_with_gland_are_taken(tmp_path):
    dataset = write_dataset(tmp_path)
    found = rendered_patches(dataset, "training")
    assert found and all(patch.rendered and patch.gland.any() for patch in found)
    assert all(0 <= patch.gray.min() and patch.gray.max() <= 1 for patch in found)


@pytest.mark.parametrize("feature", FEATURES.values(), ids=FEATURES)
def test_numbers_of_an_empty_patch_are_numbers(feature):
    assert np.isfinite(feature(Patch(torch.zeros(SIZE), torch.zeros(SIZE, dtype=torch.bool), "a", True)))


def test_the_command_writes_the_page(tmp_path):
    data, dataset = write_slices(tmp_path / "real"), write_dataset(tmp_path)
    realism(data, dataset, tmp_path / "realism.md", section="training", epochs=1, seed=0)
    assert "| network | " in (tmp_path / "realism.md").read_text(encoding="utf-8")
