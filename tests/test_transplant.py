"""Another patient's pancreas in a body."""

from __future__ import annotations

import torch

from bundle.rendering.anatomy import Anatomy
from bundle.rendering.tissues import Tissue
from bundle.rendering.transplant import transplant


def body(*boxes: tuple[Tissue, tuple[slice, slice, slice]], spacing_mm: float = 2.0) -> Anatomy:
    """60 x 50 x 40 voxels of fat with boxes of other tissues, the later over the earlier."""
    tissues = torch.full((60, 50, 40), int(Tissue.FAT), dtype=torch.uint8)
    for tissue, box in boxes:
        tissues[box] = tissue
    return Anatomy(tissues, spacing_mm, "host")


def gland(shape: tuple[int, int, int], spacing_mm: float = 2.0) -> Anatomy:
    tissues = torch.zeros([n + 6 for n in shape], dtype=torch.uint8)
    tissues[3 : 3 + shape[0], 3 : 3 + shape[1], 3 : 3 + shape[2]] = Tissue.PANCREAS
    return Anatomy(tissues, spacing_mm, "giver")


OWN = (Tissue.PANCREAS, (slice(20, 40), slice(20, 28), slice(16, 24)))
LIVER = (Tissue.LIVER, (slice(44, 60), slice(0, 50), slice(0, 40)))


def generator() -> torch.Generator:
    return torch.Generator().manual_seed(1)


def volume(anatomy: Anatomy) -> int:
    return int((anatomy.tissues == Tissue.PANCREAS).sum())


def centroid(anatomy: Anatomy) -> torch.Tensor:
    return (anatomy.tissues == Tissue.PANCREAS).nonzero().float().mean(dim=0)


def test_the_new_gland_lies_where_the_old_one_lay():
    host = body(OWN, LIVER)
    result = transplant(host, gland((16, 12, 6)), generator())
    # Shifted by a Gaussian of 3 mm that is cut at twice that, hence by at most 3 voxels along each axis.
    assert (centroid(result) - centroid(host)).abs().max() < 3.5


def test_its_volume_lies_between_its_own_and_the_old_one():
    host = body(OWN)
    result = transplant(host, gland((10, 8, 8)), generator())
    assert 10 * 8 * 8 * 0.9 < volume(result) < volume(host) * 1.1


def test_voxels_of_another_size_are_taken_into_account():
    host = body(OWN)
    result = transplant(host, gland((40, 16, 16), spacing_mm=1.0), generator())
    assert 0.8 < volume(result) / volume(host) < 1.25


def test_organs_keep_their_place():
    host = body(OWN, (Tissue.DUODENUM, (slice(38, 44), slice(20, 28), slice(10, 30))), LIVER)
    result = transplant(host, gland((16, 12, 6)), generator())
    kept = (host.tissues != Tissue.FAT) & (host.tissues != Tissue.PANCREAS)
    assert torch.equal(result.tissues[kept], host.tissues[kept])


def test_fat_fills_what_is_left_of_the_old_gland():
    host = body(OWN)
    result = transplant(host, gland((8, 6, 6)), generator())
    left = (host.tissues == Tissue.PANCREAS) & (result.tissues != Tissue.PANCREAS)
    assert left.any() and (result.tissues[left] == Tissue.FAT).all()


def test_where_there_is_no_room_the_body_keeps_its_own():
    everywhere = (slice(0, 60), slice(0, 50), slice(0, 40))
    host = body((Tissue.LIVER, everywhere), (Tissue.PANCREAS, (slice(28, 30), slice(24, 26), slice(19, 21))))
    assert transplant(host, gland((20, 10, 8)), generator()) is host


def test_both_patients_are_named():
    assert transplant(body(OWN), gland((16, 12, 6)), generator()).patients == ("host", "giver")


def test_same_seed_same_anatomy():
    first, second = (transplant(body(OWN), gland((16, 12, 6)), generator()) for _ in range(2))
    assert torch.equal(first.tissues, second.tissues)


def test_a_body_without_gland_stays_as_it_is():
    host = body(LIVER)
    assert transplant(host, gland((16, 12, 6)), generator()) is host
