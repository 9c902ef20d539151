"""Zhao 2019: two boxes, three voters, training in the truth's box; networks whose answer is known."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from monai.data import MetaTensor
from torch import nn

from bundle.cascade import (
    BoxRule,
    CascadeInferer,
    Localization,
    Region,
    RegionPrediction,
    Replace,
    SeveralRules,
    Stage,
    Vote,
    WholeVolumeInferer,
)
from bundle.geometry import Box, Grid, tight_box
from bundle.losses.centre import CentreLoss
from bundle.losses.scheduled import ScheduledSum
from bundle.losses.sudre_dice import SudreDiceLoss
from bundle.networks.unet3d import UNet3d
from bundle.preprocess import HUWindows
from bundle.training.whole_volume import RandWholeVolumed

BOXES = SeveralRules(
    [BoxRule(margin_voxels=2, min_share=0.01), BoxRule(margin_voxels=10, on_scan_grid=True, min_share=0.01)]
)
SHAPE = (64, 56, 48)
ORGAN = Box((24, 20, 16), (40, 36, 28))


def cube(start: int, stop: int) -> Box:
    return Box((start,) * 3, (stop,) * 3)


def coarse_answer(*boxes: Box, size: int = 30) -> Localization:
    """Probability 1 in boxes of a grid of ``size`` voxels per axis, a quarter of the scan's."""
    probability = torch.zeros(1, size, size, size)
    for box in boxes:
        box.crop(probability)[...] = 1
    return Localization(probability, Grid((size,) * 3, (4.0,) * 3), Grid((4 * size,) * 3, (1.0,) * 3))


def test_t50_the_two_boxes():
    first, second = (region.box for region in BOXES(coarse_answer(cube(10, 20))))
    assert (first, second) == (cube(32, 88), cube(30, 90))
    assert first.union(second) == second


def test_t50_boxes_end_at_the_border_of_the_scan():
    assert [region.box for region in BOXES(coarse_answer(cube(1, 28)))] == [cube(0, 120), cube(0, 120)]


def test_specks_below_one_percent_do_not_widen_the_boxes():
    speck, larger = cube(28, 29), Box((26, 26, 26), (28, 28, 29))
    assert [region.box for region in BOXES(coarse_answer(cube(10, 20), speck))] == [cube(32, 88), cube(30, 90)]
    assert BOXES(coarse_answer(cube(10, 20), larger))[0].box == Box((32, 32, 32), (120, 120, 120))


def opinion(box: Box, value: float) -> RegionPrediction:
    return RegionPrediction(Region(box), torch.full((1, *box.size), value))


# The fine votes in the small and the large box, the coarse one; then the result where both boxes lie, where the large
# one alone does.
@pytest.mark.parametrize(
    ("small", "large", "coarse", "in_both", "in_one"),
    [
        (0, 0, 0, 0, 0),
        (0, 0, 1, 0, 0),
        (0, 1, 0, 0, 0),
        (0, 1, 1, 1, 1),
        (1, 0, 0, 0, 0),
        (1, 0, 1, 1, 0),
        (1, 1, 0, 1, 0),
        (1, 1, 1, 1, 1),
    ],
)
def test_t51_truth_table_of_the_vote(small, large, coarse, in_both, in_one):
    grid = Grid((8, 8, 8), (1.0, 1.0, 1.0))
    localization = Localization(torch.full((1, 8, 8, 8), float(coarse)), grid, grid)
    box, pred = Vote()([opinion(cube(2, 4), small), opinion(cube(1, 6), large)], localization)
    assert box == cube(1, 6)  # outside of which all is background, whatever the coarse vote
    assert pred[0, 2, 2, 2] == in_both
    assert pred[0, 0, 0, 0] == in_one


# A box at the border, one grown to a smallest size there, the whole scan.
@pytest.mark.parametrize(
    ("found", "rule"),
    [(cube(0, 3), BoxRule(margin_voxels=2)), (cube(28, 30), BoxRule(min_size_mm=(60,) * 3)), (cube(0, 30), BoxRule())],
)
def test_t52_crop_and_paste_is_the_identity(found, rule):
    (region,) = rule(coarse_answer(found))
    scan = torch.rand(1, 120, 120, 120, generator=torch.Generator().manual_seed(0))
    box, pred = Replace()([RegionPrediction(region, region.box.crop(scan))], None)
    pasted = torch.full_like(scan, -1)
    box.crop(pasted)[...] = pred
    assert torch.equal(box.crop(pasted), box.crop(scan))
    assert (pasted == -1).sum() == scan.numel() - box.crop(scan).numel()


class Bright(nn.Module):
    """Sure of foreground where the window of -100 to 240 HU is above its middle; one channel of logits."""

    def __init__(self, lowest: float = 0.5) -> None:
        super().__init__()
        self.lowest = nn.Parameter(torch.tensor(lowest))

    def forward(self, x):
        return 100 * (x - self.lowest)


class Recites(nn.Module):
    """Answers with given probabilities, one per call."""

    def __init__(self, answers: list[torch.Tensor]) -> None:
        super().__init__()
        self.unused = nn.Parameter(torch.zeros(1))
        self.answers = iter(answers)

    def forward(self, x):
        answer = torch.full_like(x, -100)
        x, y, z = (probability := next(self.answers)).shape[2:]
        answer[..., :x, :y, :z] = 100 * (probability - 0.5)
        return answer


def scan(organ_hu: float = 200) -> MetaTensor:
    image = torch.zeros(1, 1, *SHAPE)
    ORGAN.crop(image)[...] = organ_hu
    return MetaTensor(image, affine=torch.eye(4, dtype=torch.float64))


def stage(**settings) -> Stage:
    seen = {"intensity": HUWindows([(-100, 240)]), "activation": "sigmoid", "channels": [0], "amp": False}
    return Stage(WholeVolumeInferer(divisor=8), **seen, **settings)


def cascade(localizer: nn.Module) -> CascadeInferer:
    coarse = stage(downsample=4, resampling="mean")
    return CascadeInferer(stage(), localizer, coarse, region_rule=BOXES, fusion=Vote())


def organ_mask() -> torch.Tensor:
    mask = torch.zeros(1, 1, *SHAPE, dtype=torch.bool)
    ORGAN.crop(mask)[...] = True
    return mask


def test_organ_is_found_by_three_votes():
    result = cascade(Bright()).run(scan(), Bright())
    assert torch.equal(result.pred.as_tensor() == 1, organ_mask())
    assert result.report.boxes == [Box((16, 12, 8), (48, 44, 36)), Box((14, 10, 6), (50, 46, 38))]


def test_t73_fine_network_that_repeats_the_coarse_one_changes_nothing():
    first = cascade(Bright(0.4)).run(scan(), Bright())
    assert first.coarse is not None
    answers = [box.crop(first.coarse) for box in first.report.boxes]
    result = cascade(Bright(0.4)).run(scan(), Recites(answers))
    assert torch.equal(result.pred.as_tensor() == 1, first.coarse >= 0.5)


def test_t70_failure_of_the_first_stage_is_an_outcome():
    result = cascade(Bright()).run(scan(organ_hu=0), Bright())
    assert result.report.outcome == "not_found"
    assert "found no pancreas" in result.report.reason
    assert not result.pred.any()


def test_scan_of_any_size_passes_the_networks():
    torch.manual_seed(0)
    network = UNet3d(channels=(2, 2, 2)).eval()
    inputs = MetaTensor(100 * torch.randn(1, 1, 35, 30, 29), affine=torch.eye(4, dtype=torch.float64))
    nn.init.constant_(network.score.bias, 1.0)
    result = cascade(network).run(inputs, network)
    assert result.pred.shape == inputs.shape and result.localization is not None
    assert result.localization.grid.size == (9, 8, 7)


def region_and_label() -> dict[str, torch.Tensor]:
    """An image of each voxel's X index, and an organ 20 voxels from the borders."""
    label = torch.zeros(1, 60, 58, 52)
    label[0, 20:40, 20:38, 20:32] = 1
    label[0, 2:4, 2:4, 2:4] = 2  # another organ
    return {"image": torch.arange(60.0).reshape(1, -1, 1, 1).expand(1, 60, 58, 52).clone(), "label": label}


def augmented(seed: int, **settings) -> dict[str, torch.Tensor]:
    transform = RandWholeVolumed(["image", "label"], "label", **settings)
    transform.set_random_state(seed=seed)
    return transform(region_and_label())


def test_training_region_is_the_tilted_truth_and_ten_voxels():
    for seed in range(2):
        data = augmented(seed, margin_voxels=10, shift_voxels=3)
        box = tight_box(data["label"][0] == 1)
        assert box is not None and box.start == (10, 10, 10)
        assert data["image"].shape == data["label"].shape == (1, *(-(-(n + 20) // 8) * 8 for n in box.size))


def test_training_region_without_augmentation_is_the_crop_with_its_edge_repeated():
    data = augmented(0, margin_voxels=10, rotate_rad=0, scale_range=0, shift_voxels=0)
    # 20 + 20, 18 + 20 and 12 + 20 voxels, padded to 40, 40 and 32.
    assert data["image"].shape == (1, 40, 40, 32)
    assert data["image"][0, :, 39, 0].numpy() == pytest.approx(np.arange(10, 50), abs=1e-3)


def test_whole_volume_is_kept_and_padded():
    assert augmented(0)["image"].shape == (1, 64, 64, 56)


def test_slab_is_padded_to_two_voxels_of_the_deepest_level():
    slab = {key: volume[..., :5] for key, volume in region_and_label().items()}
    assert RandWholeVolumed(["image", "label"], "label")(slab)["image"].shape == (1, 64, 64, 16)


def test_label_keeps_its_values_and_moves_with_the_image():
    data = augmented(1)
    assert set(data["label"].unique().tolist()) <= {0, 1, 2}
    # The mean index over the organ is that of 20 to 39, wherever the organ has gone.
    assert data["image"][data["label"] == 1].mean() == pytest.approx(29.5, abs=0.2)


def test_augmentation_repeats_with_its_seed():
    assert torch.equal(augmented(3)["image"], augmented(3)["image"])
    assert not torch.equal(augmented(3)["image"], augmented(4)["image"])


def test_a_few_iterations_lower_the_loss():
    torch.manual_seed(0)
    network, loss = UNet3d(channels=(2, 4)), ScheduledSum([SudreDiceLoss(), CentreLoss()], [1, 1e-3], [None, 50])
    label = torch.zeros(1, 1, 8, 8, 8)
    label[..., 2:5, 3:6, 2:6] = 1
    values = []
    for _ in range(12):
        value = loss(network(label), label)
        network.zero_grad()
        value.backward()
        with torch.no_grad():
            for parameter in network.parameters():
                parameter -= 2 * parameter.grad
        values.append(value.item())
    assert values[-1] < 0.8 * values[0]
