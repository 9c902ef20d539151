"""bundle.cleanup.fat: which voxels of a mask are fat and left out."""

from __future__ import annotations

import pytest
import torch
from monai.data import MetaTensor

from bundle.cleanup import LeaveOutFatd, leave_out_fat

SPACING_MM = (1.0, 1.0, 2.0)


def gland(hu: float = 100.0) -> tuple[torch.Tensor, torch.Tensor]:
    """Mask and image (16, 16, 8) of a gland of 12 × 12 × 6 voxels in fat."""
    mask = torch.zeros(16, 16, 8, dtype=torch.bool)
    mask[2:14, 2:14, 1:7] = True
    return mask, torch.where(mask, hu, -100.0)


def test_a_gland_without_clefts_stays_as_it_is():
    mask, image = gland()  # the fat around it isn't smeared into it
    assert torch.equal(leave_out_fat(mask, image, SPACING_MM), mask)


def test_a_wide_cleft_is_left_out():
    mask, image = gland()
    image[6:10] = -95
    after = leave_out_fat(mask, image, SPACING_MM)
    assert not after[6:10].any()
    assert torch.equal(after[2:6], mask[2:6]) and torch.equal(after[10:14], mask[10:14])


@pytest.mark.parametrize(("gland_hu", "stays"), [(100.0, True), (30.0, True), (115.0, False)])
def test_the_border_lies_in_the_middle_between_gland_and_fat(gland_hu, stays):
    mask, image = gland(gland_hu)
    image[6:10] = 5  # the middle is 2.5, -32.5 and 10
    assert bool(leave_out_fat(mask, image, SPACING_MM)[7:9, 7, 4].all()) == stays


def test_noise_drills_no_holes():
    mask, image = gland()
    image = image + 60 * torch.randn(image.shape, generator=torch.Generator().manual_seed(0))
    drilled = mask & (image < 2.5)
    assert drilled.any()
    assert leave_out_fat(mask, image, (0.7, 0.7, 0.7))[drilled].float().mean() > 0.9


def test_a_mask_of_fat_stays_as_it_is():
    mask, image = gland(-100.0)
    assert torch.equal(leave_out_fat(mask, image, SPACING_MM), mask)


def test_an_empty_mask_stays_empty():
    mask, image = gland()
    assert not leave_out_fat(torch.zeros_like(mask), image, SPACING_MM).any()


def sample() -> dict:
    mask, image = gland()
    image[6:10] = -95
    affine = torch.diag(torch.tensor([1.0, 1.0, 2.0, 1.0]))
    pred = MetaTensor(mask[None].to(torch.uint8), affine=affine, meta={"cascade": "report"})
    return {"image": MetaTensor(image[None], affine=affine), "pred": pred}


def test_a_mask_keeps_its_type_and_what_is_known_of_it():
    before = sample()
    after = LeaveOutFatd("pred")(before)["pred"]
    assert after.dtype == torch.uint8 and after.meta["cascade"] == "report"
    assert 0 < after.sum() < before["pred"].sum()


def test_without_a_number_for_fat_masks_stay_as_they_are():
    before = sample()
    assert torch.equal(LeaveOutFatd("pred", fat_hu=None)(before)["pred"], before["pred"])
