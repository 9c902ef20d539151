"""Deformation of anatomies: sizes, labels, folds and seeds on small blocks."""

from __future__ import annotations

import pytest
import torch

from bundle.rendering import deformation
from bundle.rendering.anatomy import Anatomy
from bundle.rendering.deformation import deform
from bundle.rendering.tissues import Tissue


def block_body(voxels: int = 40, spacing_mm: float = 4.0) -> Anatomy:
    """A block of fat in air, holding a block of liver and a smaller one of pancreas."""
    tissues = torch.zeros(voxels, voxels, voxels, dtype=torch.uint8)
    tissues[6:-6, 6:-6, :] = Tissue.FAT
    tissues[12:28, 12:28, 10:30] = Tissue.LIVER
    tissues[28:34, 14:24, 12:24] = Tissue.PANCREAS
    return Anatomy(tissues, spacing_mm, "block")


def deformed(seed: int, strength: float = 1.0) -> torch.Tensor:
    return deform(block_body(), torch.Generator().manual_seed(seed), strength).tissues


def test_no_strength_is_identity():
    assert torch.equal(deformed(0, strength=0), block_body().tissues)


def test_little_strength_hardly_moves_the_organs():
    before, after = block_body().tissues, deformed(0, strength=1e-4)
    for tissue in (Tissue.LIVER, Tissue.PANCREAS):
        assert (after == tissue).sum() == (before == tissue).sum()


def test_same_seed_gives_the_same_body():
    assert torch.equal(deformed(3), deformed(3))


def test_other_seed_gives_another_body():
    one, other = deformed(3), deformed(4)
    assert one.shape != other.shape or not torch.equal(one, other)


@pytest.mark.parametrize("seed", range(6))
def test_volume_follows_the_range_of_scales(seed):
    before, after = (block_body().tissues == Tissue.LIVER).sum(), (deformed(seed) == Tissue.LIVER).sum()
    # 0.70 * 0.92 to 1.23 * 1.08 along each axis; elastic deformation may add a fifth.
    assert (0.70 * 0.92) ** 3 / 1.2 < after / before < (1.23 * 1.08) ** 3 * 1.2


def test_keeps_every_tissue_and_adds_none():
    assert torch.equal(deformed(5).unique(), block_body().tissues.unique())


def test_keeps_spacing_patient_and_type():
    body = deform(block_body(), torch.Generator().manual_seed(0))
    assert (body.spacing_mm, body.patient, body.tissues.dtype) == (4.0, "block", torch.uint8)


def test_leaves_air_around_the_body_but_not_along_it():
    tissues = deformed(1)
    faces = [tissues[0], tissues[-1], tissues[:, 0], tissues[:, -1]]
    assert all((face == Tissue.OUTSIDE).all() for face in faces)
    assert (tissues[..., 0] == Tissue.FAT).any() and (tissues[..., -1] == Tissue.FAT).any()


def test_folding_displacement_is_shrunk():
    control = torch.randn(3, 8, 8, 8, generator=torch.Generator().manual_seed(0)) * 20
    wild = deformation._Elastic((20, 20, 20), [(4.0, control)])
    assert deformation._smallest_jacobian(wild) < 0
    assert deformation._smallest_jacobian(deformation._without_folds(wild)) >= deformation.MIN_JACOBIAN


def test_tissue_between_voxels_is_that_of_most_weight():
    tissues = torch.tensor([1, 1, 2, 2], dtype=torch.uint8).reshape(4, 1, 1).expand(4, 2, 2).contiguous()
    x = torch.tensor([0.9, 1.4, 1.6, 3.0]).reshape(4, 1, 1)
    rest = torch.full_like(x, 0.5)
    found = deformation._look_up(tissues, deformation._mixed_cells(tissues), [x, rest, rest])
    assert found.flatten().tolist() == [1, 1, 2, 2]
