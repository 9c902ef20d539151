"""The parts of Zhu 2018 beside its windows (test_windows.py); the T-numbers are those of docs/systems.md."""

from __future__ import annotations

import math

import pytest
import torch
from monai.data import MetaTensor
from torch import nn

from bundle.cascade import BoxRule, CascadeInferer, Fallback, Localization, Region, Stage, WholeScanRule
from bundle.cascade.windows import WindowInferer
from bundle.cleanup import KeepComponentsd, keep_components
from bundle.errors import InputError
from bundle.geometry import Box, Grid
from bundle.losses.cross_entropy import VoxelCrossEntropyLoss
from bundle.losses.heads import HeadsLoss
from bundle.networks.resdsn import ResDSN
from bundle.preprocess.zscore import ClippedZScore
from bundle.training.symmetry import RandCubeSymmetryd
from bundle.training.target_patch import RandTargetPatchd

# The paper's Table 4, and "Res" of its Table 6.
SETTINGS = {
    "ResDSN": {},
    "FResDSN": {"short": "sum"},
    "SResDSN": {"long": "none", "short": "sum"},
    "DSN": {"long": "none", "decoder_convs": 0},
    "Res": {"deep": False},
    "concatenated": {"long": "concat"},
}


def meta_network(**settings) -> ResDSN:
    """A network of the paper's width that has shapes and no numbers."""
    with torch.device("meta"):
        return ResDSN(**settings)


def parameters(network: nn.Module) -> int:
    return sum(p.numel() for p in network.parameters())


@pytest.mark.parametrize(("settings", "count"), [({}, 8_189_670), ({"deep": False}, 7_403_106)])
def test_t09_parameters_with_and_without_auxiliary_heads(settings, count):
    assert parameters(meta_network(**settings)) == count


def test_t09_dsn_has_6_24_and_0_79_million_parameters():
    with_heads, without = (parameters(meta_network(**SETTINGS["DSN"], deep=deep)) for deep in (True, False))
    assert without == pytest.approx(6.24e6, abs=5e3)
    assert with_heads - without == pytest.approx(0.79e6, abs=5e3)


def test_t09_three_outputs_of_the_size_of_the_patch():
    outputs = meta_network()(torch.empty(1, 1, 64, 64, 64, device="meta"))
    assert {head: tuple(output.shape) for head, output in outputs.items()} == {
        head: (1, 2, 64, 64, 64) for head in ("pred", "aux1", "aux2")
    }


def reach_along_x(volume_of_impulses: torch.Tensor) -> int:
    """The longest stretch of impulses (their place is the batch index) that reaches one voxel of (B, C, X, Y, Z)."""
    reached = (volume_of_impulses > 0).any(dim=4).any(dim=3).any(dim=1)
    middle = reached.shape[1] // 2
    period = max(reached.shape[1] // 20, 1)  # 8 voxels of the input, after which all repeats
    places = [reached[:, x].nonzero() for x in range(middle, middle + period)]
    return max(int(place.max() - place.min()) + 1 for place in places)


def test_t05_t06_largest_extent_that_a_voxel_sees():
    # One plane of ones at each place along X, through positive weights: what isn't zero has been reached.
    network = ResDSN(width=1, deep=False).eval()
    for name, parameter in network.named_parameters():
        nn.init.constant_(parameter, 0.0 if name.endswith("bias") else 0.2)
    deepest: list[torch.Tensor] = []
    network.encoder[-1].register_forward_hook(lambda module, inputs, output: deepest.append(output))
    with torch.no_grad():
        score = network(torch.eye(160).view(160, 1, 160, 1, 1).expand(-1, -1, -1, 8, 8))
    assert reach_along_x(score) == 114
    assert reach_along_x(deepest[0]) == 66


@pytest.mark.parametrize("settings", SETTINGS.values(), ids=SETTINGS)
def test_every_variant_learns_and_answers_with_logits_alone_in_evaluation(settings):
    torch.manual_seed(0)
    network = ResDSN(in_channels=2, out_channels=3, width=2, **settings)
    image = torch.rand(2, 2, 16, 8, 24)
    outputs = network(image)
    heads = outputs.values() if isinstance(outputs, dict) else [outputs]
    assert len(heads) == (1 if settings.get("deep") is False else 3)
    torch.stack([output.square().mean() for output in heads]).sum().backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in network.parameters())
    assert network.eval()(image).shape == (2, 3, 16, 8, 24)


def test_width_scales_every_channel():
    counts = [parameters(meta_network(width=width)) for width in (8, 16, 32)]
    assert counts[2] / counts[1] == pytest.approx(4, rel=0.01)
    assert counts[1] / counts[0] == pytest.approx(4, rel=0.01)


def test_long_sum_adds_the_encoders_map():
    # Everything above the first level is switched off, its normalisation gives 0: what is left is Conv1a by the sum.
    network = ResDSN(width=1, deep=False, decoder_convs=0).eval()
    nn.init.zeros_(network.up[-1][1].weight)
    nn.init.constant_(network.score.weight, 1.0)
    image = torch.rand(1, 1, 8, 8, 8)
    with torch.no_grad():
        assert torch.allclose(network(image)[:, :1], network.encoder[0](image))


def test_size_that_cannot_be_halved_three_times_is_refused():
    with pytest.raises(InputError, match=r"multiples of 8 voxels along each axis; received \(64, 60, 64\)"):
        meta_network()(torch.empty(1, 1, 64, 60, 64, device="meta"))


@pytest.mark.parametrize("settings", [{"long": "add"}, {"short": "concat"}])
def test_unknown_kind_of_residual_is_refused(settings):
    with pytest.raises(ValueError, match="must be"):
        ResDSN(**settings)


def test_t46_loss_of_zero_logits():
    # 1 + 0.2 + 0.4 times ln 2.
    outputs = {head: torch.zeros(1, 2, 4, 4, 4) for head in ("pred", "aux1", "aux2")}
    loss = HeadsLoss(VoxelCrossEntropyLoss())(outputs, torch.randint(2, (1, 1, 4, 4, 4)))
    assert float(loss) == pytest.approx(1.10904, abs=1e-5)


def test_one_channel_is_the_sigmoid_of_class_1():
    # Of two classes, the logit of class 1 against 0; other channels of the target don't matter.
    logits, target = torch.randn(2, 1, 3, 4, 5), torch.randint(2, (2, 2, 3, 4, 5))
    two = torch.cat([torch.zeros_like(logits), logits], dim=1)
    loss = VoxelCrossEntropyLoss()
    torch.testing.assert_close(loss(logits, target), loss({"pred": two}, target[:, :1]))


class Mean(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.epoch = -1

    def set_epoch(self, epoch: int) -> None:
        self.epoch = epoch

    def forward(self, input, target):
        return (input - target).mean()


def test_heads_have_losses_and_weights_of_their_own():
    losses = {"pred": Mean(), "side1": nn.MSELoss()}
    outputs = {"pred": torch.full((1, 2), 3.0), "side1": torch.full((1, 2), 5.0)}
    # 2 (3 - 1) + 0.5 (5 - 1)²
    assert HeadsLoss(losses, {"pred": 2, "side1": 0.5})(outputs, torch.ones(1, 2)) == 12
    assert HeadsLoss(losses, {"pred": 2, "side1": 0.5})(outputs["pred"], torch.ones(1, 2)) == 4


def test_losses_of_heads_learn_the_epoch():
    losses = {"pred": Mean(), "side1": nn.MSELoss()}
    HeadsLoss(losses, {"pred": 1, "side1": 1}).set_epoch(7)
    assert losses["pred"].epoch == 7


def test_head_without_weight_is_refused():
    with pytest.raises(ValueError, match=r"got none for \['side9'\]"):
        HeadsLoss(Mean())({"pred": torch.zeros(1), "side9": torch.zeros(1)}, torch.zeros(1))


def test_losses_and_weights_of_other_heads_are_refused():
    with pytest.raises(ValueError, match="must name the same heads"):
        HeadsLoss({"pred": Mean()}, {"pred": 1, "side1": 1})


# -100, -100 (clipped), 240 (clipped), 70: mean 27.5, variance (127.5² · 2 + 212.5² + 42.5²) / 4.
HU = torch.tensor([-100, -1000, 3000, 70], dtype=torch.int16).reshape(1, 4, 1, 1)


def test_zscore_of_the_clipped_scan():
    std = math.sqrt((2 * 127.5**2 + 212.5**2 + 42.5**2) / 4)
    result = ClippedZScore((-100, 240))(HU)
    assert result.dtype == torch.float32
    assert result.flatten().tolist() == pytest.approx([-127.5 / std, -127.5 / std, 212.5 / std, 42.5 / std])


def test_zscore_has_mean_0_and_deviation_1_over_more_rows_than_a_slab():
    scan = torch.randint(-1024, 1024, (1, 70, 9, 5), generator=torch.Generator().manual_seed(0)).to(torch.int16)
    result = ClippedZScore()(scan)
    assert float(result.mean()) == pytest.approx(0, abs=1e-5)
    assert float(result.std(correction=0)) == pytest.approx(1, abs=1e-5)


def test_zscore_of_a_constant_scan_is_0():
    assert not ClippedZScore()(torch.full((1, 3, 4, 5), -1000)).any()


def test_zscore_of_an_empty_window_is_refused():
    with pytest.raises(ValueError, match="from a lower to a higher"):
        ClippedZScore((240, -100))


class Seen(nn.Module):
    """Returns its input and keeps it."""

    def __init__(self) -> None:
        super().__init__()
        self.parameter = nn.Parameter(torch.zeros(1))
        self.windows: list[torch.Tensor] = []

    def forward(self, x):
        self.windows.append(x)
        return x


GRID = Grid((20, 18, 14), (1.0, 2.0, 4.0))
SCAN = torch.randint(-300, 300, (1, *GRID.size), generator=torch.Generator().manual_seed(1)).to(torch.int16)


def stage(intensity, window=(8, 8, 8)) -> Stage:
    windows = WindowInferer(window, count=2, padding_mode="constant")
    return Stage(windows, intensity=intensity, channels=(0,), activation="none", amp=False)


def test_stage_normalises_a_box_by_the_whole_scan():
    box = Box((3, 4, 5), (11, 12, 13))
    network = Seen()
    stage(ClippedZScore())(SCAN, GRID, box, network)
    torch.testing.assert_close(network.windows[0][0], box.crop(ClippedZScore()(SCAN)))


def hundredth(image_hu: torch.Tensor) -> torch.Tensor:
    return image_hu.float() / 100


def metatensor(scan: torch.Tensor) -> MetaTensor:
    return MetaTensor(scan[None], affine=torch.diag(torch.tensor([*GRID.spacing_mm, 1.0], dtype=torch.float64)))


# In the middle, at two corners, and smaller than a window.
@pytest.mark.parametrize(
    "box",
    [Box((3, 4, 5), (15, 14, 13)), Box((0, 0, 0), (9, 9, 9)), Box((9, 7, 3), GRID.size), Box((4, 5, 6), (7, 9, 8))],
)
def test_t52_crop_windows_and_paste_are_the_identity_on_the_box_alone(box):
    pred = CascadeInferer(stage(hundredth)).run(metatensor(SCAN), Seen(), regions=[Region(box)]).pred[0]
    torch.testing.assert_close(box.crop(pred.as_tensor()), box.crop(SCAN.float()) / 100)
    assert pred.count_nonzero() == box.crop(SCAN).count_nonzero()


def found(*boxes: Box) -> Localization:
    probability = torch.zeros(1, *GRID.size)
    for box in boxes:
        box.crop(probability)[...] = 1
    return Localization(probability, GRID, GRID)


@pytest.mark.parametrize(
    ("organ", "expected"),
    [
        (Box((9, 8, 6), (11, 10, 8)), Box((5, 5, 3), (15, 13, 11))),  # + 1 per side is 4: X 10, Y 8, Z 8 about it
        (Box((0, 16, 6), (2, 18, 8)), Box((0, 10, 3), (10, 18, 11))),  # moved, not cut, at the border
        (Box((2, 2, 1), (18, 16, 13)), Box((1, 1, 0), (19, 17, 14))),  # large enough
    ],
)
def test_t52_box_grows_to_the_smallest_size_inside_the_scan(organ, expected):
    rule = BoxRule(margin_voxels=1, min_size_voxels=(10, 8, 8))
    assert [region.box for region in rule(found(organ))] == [expected]


def bars(*lengths: int) -> torch.Tensor:
    """One bar of voxels along Z per length, two voxels apart."""
    mask = torch.zeros(3 * len(lengths), 1, max(lengths), dtype=torch.bool)
    for index, length in enumerate(lengths):
        mask[3 * index, 0, :length] = True
    return mask


@pytest.mark.parametrize(
    ("lengths", "share", "kept"),
    [
        ((70, 20, 10), 0.2, [70, 20, 0]),  # 20 of 100 is not less than 0.2
        ((70, 20, 10), 0.05, [70, 20, 10]),
        ((25, 25, 25, 25), 0.2, [25] * 4),
        ((10,) * 10, 0.2, [10] + [0] * 9),  # all fall short: the largest stays, of equal ones the first
    ],
)
def test_t55_share_filter(lengths, share, kept):
    mask = MetaTensor(bars(*lengths)[None].to(torch.uint8))
    pred = KeepComponentsd("pred", min_share=share)({"pred": mask})["pred"]
    assert pred[0, ::3, 0].sum(dim=1).tolist() == kept


def shell() -> torch.Tensor:
    """A 5 x 5 x 5 cube with a hole of one voxel and a dent of one voxel, and a stray voxel."""
    mask = torch.zeros(9, 7, 7, dtype=torch.bool)
    mask[1:6, 1:6, 1:6] = True
    mask[3, 3, 3] = mask[3, 3, 5] = False
    mask[8, 6, 6] = True
    return mask


def test_holes_of_what_stays_are_filled_and_dents_are_not():
    result = keep_components(shell(), min_share=0.2, fill_holes=True)
    assert result[3, 3, 3] and not result[3, 3, 5] and not result[8, 6, 6]
    assert int(result.sum()) == 5**3 - 1
    assert int(keep_components(shell(), min_share=0.2).sum()) == 5**3 - 2


def test_filled_holes_have_the_value_of_the_mask():
    mask = MetaTensor(2 * shell()[None].to(torch.uint8))
    pred = KeepComponentsd("pred", min_share=0.2, fill_holes=True)({"pred": mask})["pred"]
    assert pred.dtype == torch.uint8 and pred.unique().tolist() == [0, 2] and pred[0, 3, 3, 3] == 2


def cascade(**settings) -> CascadeInferer:
    rule = BoxRule(margin_voxels=2, min_size_voxels=(8, 8, 8), min_share=0.2)
    settings = {"region_rule": rule} | settings
    return CascadeInferer(stage(hundredth), localizer=Seen(), localize=stage(hundredth), **settings)


def organ_and_stray() -> tuple[torch.Tensor, torch.Tensor]:
    """A scan whose organ has 100 HU, with a stray component of a share of 8 in 72; and the organ's mask."""
    organ = torch.zeros(1, *GRID.size, dtype=torch.int16)
    organ[:, 2:6, 3:7, 2:6] = 100
    scan = organ.clone()
    scan[:, 17:19, 15:17, 11:13] = 100
    return scan, organ[0] > 0


def test_t73_answer_is_the_coarse_one_where_the_fine_network_repeats_it():
    scan, organ = organ_and_stray()
    result = cascade().run(metatensor(scan), Seen())
    coarse = keep_components(result.coarse[0, 0] >= 0.5, min_share=0.2)
    assert torch.equal(coarse, organ)
    assert torch.equal(result.pred[0, 0].as_tensor() >= 0.5, coarse)


def test_t70_lower_thresholds_find_what_0_5_does_not():
    # 30 HU become a probability of 0.3: below 0.5, above 0.25.
    scan, organ = organ_and_stray()
    rule = BoxRule(threshold=(0.5, 0.25, 0.1), min_share=0.2)
    result = cascade(region_rule=rule, threshold=0.2).run(metatensor(scan * 3 // 10), Seen())
    assert result.report.boxes == [Box((2, 3, 2), (6, 7, 6))]
    assert torch.equal(result.pred[0, 0].as_tensor() > 0, organ)


def test_t70_empty_answer_ends_as_not_found_after_the_whole_scan():
    whole_scan = Fallback(WholeScanRule(), "segmenting the whole scan")
    result = cascade(fallbacks=[whole_scan]).run(metatensor(torch.zeros_like(SCAN)), Seen())
    assert result.report.boxes == [GRID.box]
    assert result.report.outcome == "not_found"
    assert not result.pred.any()


@pytest.mark.parametrize("target_prob", [0.0, 1.0])
def test_patch_is_cut_out_as_it_is(target_prob):
    label = torch.zeros(1, *GRID.size)
    label[0, 15, 2, 7] = 1
    index = torch.arange(label.numel()).reshape(label.shape)
    transform = RandTargetPatchd(("image", "label"), "label", (6, 8, 4), target_prob).set_random_state(0)
    starts = set()
    for _ in range(200):
        patch = transform({"image": index, "label": label})
        start = [int(i) for i in (index == patch["image"][0, 0, 0, 0]).nonzero()[0][1:]]
        box = Box(tuple(start), tuple(a + n for a, n in zip(start, (6, 8, 4))))
        assert torch.equal(patch["image"], box.crop(index)) and torch.equal(patch["label"], box.crop(label))
        assert target_prob == 0 or patch["label"].any()
        starts.add(box.start)
    # With the target: 5 places along X (10 to 14), 3 along Y (0 to 2), 4 along Z (4 to 7).
    expected = {0.0: (15, 11, 11), 1.0: (5, 3, 4)}[target_prob]
    assert tuple(len(set(axis)) for axis in zip(*starts)) == expected


def test_patch_beyond_the_scan_is_padded_with_zeros_on_both_sides():
    data = {"image": torch.ones(1, 4, 4, 3), "label": torch.ones(1, 4, 4, 3)}
    patch = RandTargetPatchd(("image", "label"), "label", (4, 4, 6)).set_random_state(0)(data)
    assert patch["image"][0, 0, 0].tolist() == patch["label"][0, 0, 0].tolist() == [0, 1, 1, 1, 0, 0]


def test_t65_polynomial_learning_rate():
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=0.01)
    scheduler = torch.optim.lr_scheduler.PolynomialLR(optimizer, total_iters=80_000, power=0.9)
    expected = {0: 0.01, 1_000: 0.0098874, 40_000: 0.0053589, 79_999: 3.8656e-7}
    optimizer.step()
    for iteration in range(80_000):
        if iteration in expected:
            assert scheduler.get_last_lr()[0] == pytest.approx(expected[iteration], rel=1e-4)
        scheduler.step()
    assert scheduler.get_last_lr() == [0]


def test_augmentation_turns_and_mirrors_image_and_label_alike():
    volume = torch.arange(27.0).reshape(1, 3, 3, 3)
    augment = RandCubeSymmetryd(["image", "label"]).set_random_state(seed=0)
    results = [augment({"image": volume, "label": volume}) for _ in range(20)]
    assert all(torch.equal(r["image"], r["label"]) for r in results)
    assert len({tuple(r["image"].flatten().tolist()) for r in results}) > 10
