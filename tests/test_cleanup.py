"""bundle.cleanup: which components of a mask stay."""

from __future__ import annotations

import pytest
import torch
from monai.data import MetaTensor

from bundle.cleanup import KeepComponentsd, keep_components


def bars(*lengths: int) -> torch.Tensor:
    """One bar of voxels along Z per length, two voxels apart."""
    mask = torch.zeros(3 * len(lengths), 1, max(lengths), dtype=torch.bool)
    for index, length in enumerate(lengths):
        mask[3 * index, 0, :length] = True
    return mask


def lengths_of(mask: torch.Tensor) -> list[int]:
    return mask[::3, 0].sum(dim=1).tolist()


# The share filter of Zhu 2018 and its corners: see keep_components.
@pytest.mark.parametrize(
    ("lengths", "min_share", "min_voxels", "kept"),
    [
        ((70, 20, 10), 0.2, 0, [70, 20, 0]),  # 20 of 100 is not less than a share of 0.2
        ((25, 25, 25, 25), 0.2, 0, [25, 25, 25, 25]),
        ((10, 10, 10, 10, 11, 10, 10, 10, 10, 10), 0.2, 0, [0, 0, 0, 0, 11, 0, 0, 0, 0, 0]),  # all fall short
        ((70, 20, 10), 1.0, 0, [70, 0, 0]),
        ((70, 20, 10), 0.0, 0, [70, 20, 10]),
        ((70, 20, 10), 0.0, 20, [70, 20, 0]),
        ((70, 20, 10), 0.5, 71, [0, 0, 0]),  # too small is too small, even for the largest
    ],
)
def test_components_that_stay(lengths, min_share, min_voxels, kept):
    assert lengths_of(keep_components(bars(*lengths), min_share, min_voxels)) == kept


def test_one_of_equal_parts_stays_where_all_fall_short():
    assert sum(lengths_of(keep_components(bars(*[10] * 10), min_share=0.2))) == 10


def test_voxels_that_touch_at_a_corner_are_one_component():
    mask = torch.zeros(4, 4, 4, dtype=torch.bool)
    mask[0, 0, 0] = mask[1, 1, 1] = True
    assert keep_components(mask, min_voxels=2).equal(mask)


def test_empty_mask_stays_empty():
    assert not keep_components(torch.zeros(3, 4, 5, dtype=torch.bool), min_share=1).any()


def test_input_is_left_as_it_was():
    mask = bars(7, 2)
    keep_components(mask, min_share=1)
    assert lengths_of(mask) == [7, 2]


@pytest.mark.parametrize(("min_volume_ml", "kept"), [(0.048, [7, 6]), (0.056, [7, 0]), (0.064, [0, 0])])
def test_smallest_volume_is_in_millilitres(min_volume_ml, kept):
    # A voxel of 1 x 2 x 4 mm has 0.008 ml: 6 voxels have 0.048 ml, 7 have 0.056 ml. The determinant is negative.
    affine = torch.diag(torch.tensor([-1.0, 2.0, 4.0, 1.0], dtype=torch.float64))
    mask = MetaTensor(bars(7, 6)[None].to(torch.uint8), affine=affine)
    pred = KeepComponentsd("pred", min_volume_ml=min_volume_ml)({"pred": mask})["pred"]
    assert lengths_of(pred[0]) == kept


def test_mask_keeps_its_type_and_affine():
    mask = MetaTensor(bars(7, 6)[None].to(torch.uint8), affine=torch.diag(torch.tensor([2.0, 2.0, 2.0, 1.0])))
    pred = KeepComponentsd("pred", min_share=1)({"pred": mask})["pred"]
    assert pred.dtype == torch.uint8
    assert torch.equal(pred.affine, mask.affine)
