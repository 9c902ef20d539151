"""Xue 2019: networks, loss, skeleton, intensities, regions, schedule. Sizes are (X, Y, Z), the reverse of the paper's.

The T-numbers are those of docs/systems.md.
"""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from monai.data import MetaTensor
from monai.transforms import Compose, ConcatItemsd
from torch import nn

from bundle.cascade import FixedBoxRule, Localization
from bundle.cascade.region import close
from bundle.errors import InputError
from bundle.evaluation.region import region_metrics
from bundle.geometry import Box, Grid
from bundle.losses.skeleton import SkeletonMultitaskLoss
from bundle.networks.init import initialised
from bundle.networks.unet3d import UNet3d
from bundle.networks.xue2019 import MultitaskDenseUNet
from bundle.preprocess.body import body_box, body_mask
from bundle.preprocess.fitted import FitIntensityd, FittedIntensityd
from bundle.preprocess.mean_max import MeanMax
from bundle.preprocess.whole_scan import WholeScanIntensity
from bundle.training import RandPatchd
from bundle.training.fixed_region import CropFixedAroundLabeld, RandCropFixedAroundLabeld
from bundle.training.skeleton import SkeletonTargetd, skeleton, skeleton_heat_map, smoothed

NARROW = {"widths": (2, 2, 3, 3, 3)}
C1 = {"out_channels": 2, "encoder_convs": (2, 1, 1, 0), "decoder_convs": 1}
WINDOW = (64, 64, 16)


def on_meta(kind: type[nn.Module], **settings) -> nn.Module:
    with torch.device("meta"):
        return kind(**settings)


def parameters(network: nn.Module) -> int:
    return sum(p.numel() for p in network.parameters())


# --- networks


@pytest.mark.parametrize(
    ("settings", "count"),
    [
        ({}, 12_070_691),
        ({"widths": (32, 64, 128, 256, 256)}, 32_945_315),
        ({"widths": (32, 64, 64, 128, 128)}, 8_985_955),
        ({"dense": False}, 8_863_523),
        ({"consistency": False}, 9_084_067),
        ({"skeleton": "none"}, 12_042_978),
        ({"skeleton": "always"}, 12_070_691),
    ],
)
def test_parameters_of_the_segmenter_and_its_ablations(settings, count):
    assert parameters(on_meta(MultitaskDenseUNet, norm=None, **settings)) == count


def test_batch_norm_has_two_parameters_where_a_bias_was():
    # The 27 convolutions of 3 x 3 x 3 have 2 560 channels: as many biases become twice as many scales and shifts.
    assert parameters(on_meta(MultitaskDenseUNet)) == 12_070_691 + 2_560


def test_parameters_of_the_localizer():
    assert parameters(on_meta(UNet3d, **C1, channels=(32, 64, 128, 128), norm=None)) == 1_679_970


def test_heads_in_training_and_logits_alone_afterwards():
    network = MultitaskDenseUNet(**NARROW)
    outputs = network(torch.rand(2, 1, 32, 16, 16))
    assert {head: tuple(values.shape) for head, values in outputs.items()} == {
        "pred": (2, 2, 32, 16, 16),
        "skeleton": (2, 1, 32, 16, 16),
    }
    assert network.eval()(torch.rand(1, 1, 32, 16, 16)).shape == (1, 2, 32, 16, 16)


def test_skeleton_answers_always_if_asked():
    network = MultitaskDenseUNet(**NARROW, skeleton="always").eval()
    assert set(network(torch.rand(1, 1, 16, 16, 32))) == {"pred", "skeleton"}


def test_single_task_has_one_head_in_training_too():
    assert isinstance(MultitaskDenseUNet(**NARROW, skeleton="none")(torch.rand(2, 1, 16, 16, 32)), torch.Tensor)


@pytest.mark.parametrize("norm", [None, "batch", ["instance", {"affine": True}]])
def test_every_parameter_gets_a_gradient(norm):
    network = initialised(MultitaskDenseUNet(**NARROW, norm=norm))
    target = torch.stack([torch.randint(0, 2, (2, 32, 32, 16)), torch.rand(2, 32, 32, 16)], dim=1)
    SkeletonMultitaskLoss()(network(torch.rand(2, 1, 32, 32, 16)), target).backward()
    assert all(p.grad is not None for p in network.parameters())


def test_t10_the_lowest_level_of_a_window_is_one_voxel_deep():
    network = on_meta(MultitaskDenseUNet)
    seen = []
    network.encoder[-1].register_forward_hook(lambda module, inputs, output: seen.append(output.shape))
    network(torch.zeros(1, 1, *WINDOW, device="meta"))
    assert seen == [(1, 128, 4, 4, 1)]


def test_t10_five_poolings_of_a_window_16_voxels_deep_are_refused():
    network = on_meta(MultitaskDenseUNet, widths=(2,) * 6, encoder_convs=(2, 2, 3, 3, 3, 4))
    with pytest.raises(ValueError, match=r"5 poolings .* multiples of 32 voxels; received \(64, 64, 16\)"):
        network(torch.zeros(1, 1, *WINDOW, device="meta"))


@pytest.mark.parametrize("window", [(64, 64, 8), (60, 64, 16)])
def test_a_window_that_the_poolings_do_not_divide_is_refused(window):
    with pytest.raises(ValueError, match="multiples of 16 voxels"):
        on_meta(MultitaskDenseUNet)(torch.zeros(1, 1, *window, device="meta"))


@pytest.mark.parametrize(
    "settings", [{"widths": (8, 8)}, {"encoder_convs": (0, 1, 1, 1, 1)}, {"skeleton": "never"}, {"skeleton": True}]
)
def test_segmenter_of_unknown_make_is_refused(settings):
    with pytest.raises(ValueError, match="encoder_convs|skeleton"):
        on_meta(MultitaskDenseUNet, **settings)


def test_dense_block_sees_earlier_outputs_but_not_its_own_input():
    widths = {"widths": (2, 3, 5, 7, 11)}
    network = on_meta(MultitaskDenseUNet, **widths)
    lowest = [conv.conv.in_channels for conv in network.encoder[-1].convs]
    consistency = [conv.conv.in_channels for conv in network.decoder[-1].convs]
    assert lowest == [7, 11, 22, 33] and consistency == [14, 7, 14]


def seen_extent(network: nn.Module, length: int) -> int:
    """Largest extent of input along X on which one output voxel near the middle depends.

    All weights alike and averages in place of maxima, so that no path is cut.
    """
    network.pool = nn.AvgPool3d(2)
    network = network.double().eval()
    for parameter in network.parameters():
        nn.init.constant_(parameter, 1 / 27)
    x = torch.ones(1, 1, length, network.divisor, network.divisor, dtype=torch.float64, requires_grad=True)
    line = network(x)[0, 0, :, 0, 0]
    extents = []
    for voxel in range(length // 2, length // 2 + network.divisor):
        gradient = torch.autograd.grad(line[voxel], x, retain_graph=True)[0]
        hit = gradient.abs().amax(dim=(0, 1, 3, 4)).nonzero()
        extents.append(int(hit[-1] - hit[0]) + 1)
    return max(extents)


def test_t05_an_output_voxel_of_the_localizer_sees_40_voxels():
    network = UNet3d(**C1, channels=(1, 1, 1, 1), norm=None)
    network.score = nn.Conv3d(1, 2, kernel_size=3, padding=1)
    assert seen_extent(network, 96) == 40


def test_t05_an_output_voxel_of_the_segmenter_sees_324_voxels():
    assert seen_extent(MultitaskDenseUNet(widths=(1,) * 5, norm=None), 400) == 324


# --- initial weights and learning rate


def test_xavier_is_uniform_by_both_fans_and_he_normal_by_the_inputs():
    network = nn.Sequential(nn.Conv3d(40, 20, kernel_size=3), nn.BatchNorm3d(20), nn.ConvTranspose3d(20, 20, 2))
    with torch.random.fork_rng():
        torch.manual_seed(0)
        conv = initialised(network, "xavier")[0]
        limit = math.sqrt(6 / (27 * 40 + 27 * 20))
        assert conv.weight.abs().max().item() == pytest.approx(limit, rel=1e-3) and not conv.bias.any()
        conv = initialised(network, "he")[0]
        assert conv.weight.std().item() == pytest.approx(math.sqrt(2 / (27 * 40)), rel=0.02)
    assert network[1].weight.eq(1).all() and not network[2].bias.any()


def test_unknown_scheme_is_refused():
    with pytest.raises(ValueError, match="scheme must be one of"):
        initialised(nn.Conv3d(1, 1, 1), "zeros")


def test_t66_learning_rate_falls_in_five_levels():
    optimizer = torch.optim.SGD(nn.Linear(1, 1).parameters(), lr=1e-2, momentum=0.9, weight_decay=5e-4)
    schedule = torch.optim.lr_scheduler.MultiStepLR(optimizer, milestones=[2, 4, 6, 8], gamma=0.1)
    rates = []
    for _ in range(10):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        schedule.step()
    assert rates == pytest.approx([rate for rate in (1e-2, 1e-3, 1e-4, 1e-5, 1e-6) for _ in range(2)])


# --- loss

LABEL = torch.zeros(2, 1, 4, 4, 4)
EVEN = torch.zeros(2, 2, 4, 4, 4)  # logits of two classes equally likely: cross entropy ln 2


def test_t49_skeleton_off_by_a_constant_costs_half_its_square():
    target = torch.cat([LABEL, torch.rand(LABEL.shape)], dim=1)
    loss = SkeletonMultitaskLoss()({"pred": EVEN, "skeleton": target[:, 1:] + 0.3}, target)
    assert float(loss) == pytest.approx(math.log(2) + 0.3**2 / 2, rel=1e-5)


def test_t49_skeleton_costs_half_the_mean_squared_error():
    skeleton_target = torch.zeros(LABEL.shape)
    skeleton_target[0, 0, 0, 0, :2] = torch.tensor([1.0, 2.0])
    target = torch.cat([LABEL, skeleton_target], dim=1)
    loss = SkeletonMultitaskLoss()({"pred": EVEN, "skeleton": torch.zeros(LABEL.shape)}, target)
    assert float(loss) == pytest.approx(math.log(2) + (1 + 4) / 128 / 2, rel=1e-5)


def test_weights_of_the_two_terms():
    target = torch.cat([LABEL, torch.zeros(LABEL.shape)], dim=1)
    loss = SkeletonMultitaskLoss(lambda_segmentation=2.0, lambda_skeleton=10.0)
    assert float(loss({"pred": EVEN, "skeleton": torch.ones(LABEL.shape)}, target)) == pytest.approx(
        2 * math.log(2) + 5, rel=1e-5
    )


@pytest.mark.parametrize("target", [LABEL, torch.cat([LABEL, LABEL + 1], dim=1)])
@pytest.mark.parametrize("output", [EVEN, {"pred": EVEN}])
def test_without_the_head_cross_entropy_is_all(output, target):
    assert float(SkeletonMultitaskLoss()(output, target)) == pytest.approx(math.log(2))


def test_organs_that_the_network_does_not_know_are_background():
    logits = torch.rand(EVEN.shape, generator=torch.Generator().manual_seed(0))
    assert SkeletonMultitaskLoss()(logits, LABEL + 5) == SkeletonMultitaskLoss()(logits, LABEL)


def test_head_without_a_target_is_refused():
    with pytest.raises(InputError, match="channel 1 must hold the skeleton"):
        SkeletonMultitaskLoss()({"pred": EVEN, "skeleton": LABEL}, LABEL)


def test_loss_is_computed_in_float32():
    target = torch.cat([LABEL, LABEL], dim=1)
    outputs = {"pred": EVEN.bfloat16(), "skeleton": LABEL.bfloat16()}
    assert SkeletonMultitaskLoss()(outputs, target).dtype == torch.float32


@pytest.mark.parametrize("settings", [{}, {"dense": False, "consistency": False, "skeleton": "none"}])
def test_a_few_steps_of_the_papers_optimizer_lower_the_loss(settings):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = initialised(MultitaskDenseUNet(widths=(4,) * 5, **settings))
        label = torch.zeros(2, 1, 32, 32, 16)
        label[:, :, 8:20, 10:24, 4:12] = 1
        image = label + 0.3 * torch.randn(label.shape)
    heat = torch.from_numpy(skeleton_heat_map(label[0, 0].numpy() > 0)).expand(label.shape)
    target = torch.cat([label, heat], dim=1)
    optimizer = torch.optim.SGD(network.parameters(), lr=1e-2, momentum=0.9, weight_decay=5e-4)
    losses = []
    for _ in range(8):
        loss = SkeletonMultitaskLoss()(network(image), target)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.9 * losses[0]


# --- skeleton


@pytest.fixture
def bar() -> np.ndarray:
    """A solid bar of 41 x 5 x 5 voxels, lying in the axial plane."""
    mask = np.zeros((49, 13, 13), dtype=bool)
    mask[4:45, 4:9, 4:9] = True
    return mask


def test_t60_skeleton_in_space_is_the_axis_of_the_bar(bar):
    x, y, z = skeleton(bar, "volume").nonzero()
    assert x.tolist() == list(range(6, 43)) and set(y) == set(z) == {6}


def test_t60_skeleton_by_slices_is_a_line_in_each(bar):
    found = skeleton(bar, "slice")
    assert found.sum() == 190 and found.any(axis=(0, 1)).nonzero()[0].tolist() == [4, 5, 6, 7, 8]


def test_t61_smoothed_line_and_smoothed_sheet_have_the_peaks_of_a_gaussian():
    line, sheet = np.zeros((41, 41, 41), dtype=bool), np.zeros((41, 41, 41), dtype=bool)
    line[:, 20, 20] = sheet[:, 20] = True
    assert smoothed(line, 2.0).max() == pytest.approx(0.0398, abs=5e-5)
    assert smoothed(sheet, 2.0).max() == pytest.approx(0.1995, abs=5e-5)


@pytest.mark.parametrize("mode", ["slice", "volume"])
def test_t61_heat_map_runs_from_0_to_1_with_its_peak_on_the_skeleton(bar, mode):
    heat = skeleton_heat_map(bar, mode)
    assert heat.dtype == np.float32 and heat.min() >= 0 and heat.max() == 1
    assert skeleton(bar, mode)[np.unravel_index(heat.argmax(), heat.shape)]


def test_heat_map_falls_off_as_the_gaussian_does():
    line = np.zeros((61, 31, 31), dtype=bool)
    line[:, 15, 15] = True
    heat = skeleton_heat_map(line, sigma_voxels=2.0)
    assert heat[30, 17, 15] == pytest.approx(math.exp(-1 / 2), rel=1e-3)
    assert heat[30, 15, 19] == pytest.approx(math.exp(-2), rel=1e-3)


def test_heat_map_of_a_part_of_the_volume_is_that_of_the_whole(bar):
    whole = smoothed(skeleton(bar, "slice"), 1.0)
    assert np.allclose(skeleton_heat_map(bar, "slice", 1.0), whole / whole.max())


def test_component_that_scikit_image_deletes_keeps_its_deepest_voxels(bar):
    # A cube of 4 voxels, of which the inner 8 lie 2 voxels deep, beside the bar.
    both = np.pad(bar, ((0, 0), (0, 0), (0, 8)))
    both[20:24, 4:8, 15:19] = True
    added = np.zeros_like(both)
    added[21:23, 5:7, 16:18] = True
    assert np.array_equal(skeleton(both, "volume")[..., 13:], added[..., 13:])
    assert skeleton(both, "volume").sum() == 37 + 8


def test_empty_label_gives_zeros():
    label = torch.zeros(1, 8, 9, 10)
    assert torch.equal(SkeletonTargetd("label")({"label": label})["skeleton"], label)


def test_unknown_mode_is_refused():
    with pytest.raises(ValueError, match="mode must be"):
        SkeletonTargetd("label", mode="2d")


def test_target_takes_one_value_only(bar):
    label = MetaTensor(torch.from_numpy(bar)[None] * 2, affine=torch.diag(torch.tensor([2.0, 1.0, 1.0, 1.0])))
    label[0, 0, 0, 0] = 1
    target = SkeletonTargetd("label", value=2)({"label": label})["skeleton"]
    assert target.dtype == torch.float16
    assert np.array_equal(target[0].numpy(), skeleton_heat_map(bar).astype(np.float16))


def test_patch_interpolates_the_skeleton_and_not_the_label(bar):
    transform = Compose(
        [
            SkeletonTargetd("label"),
            RandPatchd(["image", "label", "skeleton"], "label", (16, 16, 8), target_prob=1.0, fitted=False),
            ConcatItemsd(["label", "skeleton"], "label"),
        ]
    ).set_random_state(seed=1)
    label = torch.from_numpy(bar)[None].float()
    target = transform({"image": label.clone(), "label": label})["label"]
    assert target.shape == (2, 16, 16, 8) and set(target[0].unique().tolist()) <= {0.0, 1.0}
    assert 0 < target[1].max() <= 1 and len(target[1].unique()) > 100


# --- body and intensities


@pytest.fixture
def scan() -> torch.Tensor:
    """Air, a body of 30 x 24 x 20 voxels with a lung inside and a notch outside, and a table under it."""
    hu = torch.full((40, 40, 20), -1000.0)
    hu[5:35, 10:34] = 40
    hu[10:20, 15:25, 4:16] = -900
    hu[25:30, 30:34] = -1000
    hu[2:38, 4:6] = 100
    return hu


def test_body_holds_the_lung_but_neither_air_nor_table(scan):
    body = body_mask(scan)
    expected = torch.zeros(40, 40, 20, dtype=torch.bool)
    expected[5:35, 10:34] = True
    expected[25:30, 30:34] = False
    assert torch.equal(body, expected)


def test_body_goes_on_beyond_the_first_and_the_last_slice(scan):
    assert body_mask(scan[..., :3]).any(dim=0).any(dim=0).all()


def test_box_found_on_every_second_voxel_holds_the_body(scan):
    assert body_box(scan, opening=1) == Box((5, 9, 0), (36, 34, 20))


def test_scan_of_air_has_no_body_and_is_kept_whole():
    air = torch.full((12, 10, 8), -1000)
    assert not body_mask(air).any() and body_box(air) == Box((0, 0, 0), (12, 10, 8))


def test_mean_max_takes_off_the_mean_and_divides_by_the_largest_distance():
    # Mean 25, largest distance 75.
    hu = torch.tensor([0.0, 0.0, 0.0, 100.0]).reshape(1, 4, 1, 1)
    assert MeanMax()(hu).flatten().tolist() == pytest.approx([-1 / 3] * 3 + [1])


def test_mean_max_clips_unless_told_not_to():
    hu = torch.tensor([-1000.0, 0.0, 0.0, 3000.0]).reshape(1, 4, 1, 1)
    # Clipped: -200, 0, 0, 300, mean 25. Literally: mean 500.
    assert MeanMax()(hu).flatten().tolist() == pytest.approx([-225 / 275, -25 / 275, -25 / 275, 1])
    assert MeanMax(clip_hu=None)(hu).flatten().tolist() == pytest.approx([-0.6, -0.2, -0.2, 1])


def test_numbers_of_the_scan_serve_for_its_parts(scan):
    fitted = MeanMax().fitted(scan[None])
    part = Box((10, 10, 5), (20, 30, 9))
    assert torch.equal(part.crop(fitted(scan[None])), fitted(part.crop(scan[None])))


def test_mean_max_looks_at_the_body_alone(scan):
    assert MeanMax().fitted(scan[None]).mean_hu > MeanMax().fitted(scan[None]).clip_hu[0] + 100
    shielded = scan.clone()
    shielded[:, :3] = 3000  # beside the patient
    assert MeanMax().fitted(shielded[None]) == MeanMax().fitted(scan[None])


@pytest.mark.parametrize("clip_hu", [None, (-200, 300)])
def test_intensity_fitted_to_the_scan_before_a_crop_is_that_of_the_scan(scan, clip_hu):
    intensity = MeanMax(clip_hu)
    d = FitIntensityd("image", intensity)({"image": scan[None]})
    d["image"] = d["image"][:, 10:20, 10:20]
    assert torch.equal(FittedIntensityd("image")(d)["image"], intensity(scan[None])[:, 10:20, 10:20])


def test_mean_max_is_an_intensity_of_the_whole_scan():
    assert isinstance(MeanMax(), WholeScanIntensity)


def test_constant_image_becomes_zero():
    assert not MeanMax()(torch.full((1, 4, 4, 4), 50)).any()


def test_clip_from_higher_to_lower_is_refused():
    with pytest.raises(ValueError, match="clip_hu runs"):
        MeanMax(clip_hu=(300, -200))


# --- region

SCAN = Grid((300, 280, 200), (1.0, 1.0, 1.0))
COARSE = Grid((75, 70, 50), (4.0, 4.0, 4.0))
REGION = FixedBoxRule(size_mm=(224, 224, 128), min_share=1, closing=1)


def located(*boxes: Box) -> Localization:
    probability = torch.zeros(1, *COARSE.size)
    for box in boxes:
        box.crop(probability)[...] = 1
    return Localization(probability, COARSE, SCAN)


@pytest.mark.parametrize("start", [(0, 0, 0), (30, 32, 20), (31, 33, 21), (60, 60, 40)])
def test_t53_region_has_its_size_wherever_the_organ_lies(start):
    (region,) = REGION(located(Box(start, tuple(a + 9 for a in start))))
    assert region.box.size == (224, 224, 128)


@pytest.mark.parametrize("size", [8, 9])
def test_t53_centre_of_the_region_is_within_a_voxel_of_the_organ_s(size):
    organ = Box((33, 31, 21), (33 + size, 31 + size, 21 + size))
    (region,) = REGION(located(organ))
    for a, b, low, high in zip(region.box.start, region.box.stop, organ.start, organ.stop):
        assert abs((a + b) / 2 - 4 * (low + high) / 2) <= 1


def test_t53_voxels_that_the_region_loses_are_counted():
    # 200 voxels deep, 128 of which fit: 72 of 200 are lost.
    label = np.zeros(SCAN.size, dtype=bool)
    label[100:110, 100:110] = True
    (region,) = REGION(located(Box((25, 25, 0), (27, 27, 50))))
    assert region_metrics([region.box], label)["roi_lost"] == pytest.approx(72 / 200)


def test_region_of_a_scan_smaller_than_it_is_the_scan():
    grid = Grid((100, 300, 40), (1.0, 1.0, 1.0))
    probability = torch.zeros(1, 25, 75, 10)
    probability[0, 10:15, 30:40, 3:6] = 1
    (region,) = REGION(Localization(probability, Grid((25, 75, 10), (4.0, 4.0, 4.0)), grid))
    assert region.box.size == (100, 224, 40)


def test_closing_joins_pieces_that_the_largest_alone_would_lose():
    organ = (Box((30, 30, 20), (38, 34, 24)), Box((40, 30, 20), (46, 34, 24)))
    joined = REGION(located(*organ))[0].box
    largest = FixedBoxRule(size_mm=(224, 224, 128), min_share=1)(located(*organ))[0].box
    assert joined.start[0] == 4 * 38 - 112 and largest.start[0] == 4 * 34 - 112


# One row: gaps of up to 2 voxels go, and nothing grows, at the border neither.
@pytest.mark.parametrize(
    ("before", "after"), [("##..##...#", "######...#"), (".##.......", ".##......."), ("........#.", "........#.")]
)
def test_closing_by_one_voxel(before, after):
    row = torch.tensor([v == "#" for v in before]).reshape(-1, 1, 1)
    assert "".join(".#"[int(v)] for v in close(row, 1).flatten()) == after


@pytest.fixture
def labelled() -> dict[str, MetaTensor]:
    """An organ of 10 x 6 x 4 voxels whose box has its middle at (25, 33, 12), voxels of 1 x 1 x 2 mm."""
    affine = torch.diag(torch.tensor([1.0, 1.0, 2.0, 1.0]))
    label = torch.zeros(1, 60, 60, 30)
    label[0, 20:30, 30:36, 10:14] = 1
    return {"image": MetaTensor(label * 50, affine=affine), "label": MetaTensor(label, affine=affine)}


def test_crop_of_fixed_size_lies_about_the_organ(labelled):
    cropped = CropFixedAroundLabeld(["image", "label"], "label", size_mm=(20, 20, 20))(labelled)
    assert cropped["image"].shape == cropped["label"].shape == (1, 20, 20, 10)
    # Voxel 0 is voxel (15, 23, 7) of the scan.
    assert cropped["image"].affine[:3, 3].tolist() == [15, 23, 14] and cropped["label"].sum() == 10 * 6 * 4


def test_random_crop_has_one_size_and_moves_by_no_more_than_the_jitter(labelled):
    crop = RandCropFixedAroundLabeld(["image", "label"], "label", size=(24, 24, 12), jitter=(3, 2, 1))
    crop.set_random_state(seed=0)
    corners = []
    for _ in range(60):
        label = crop(labelled)["label"]
        assert label.shape == (1, 24, 24, 12)
        corners.append([int(n) for n in label[0].nonzero().amin(dim=0)])
    # Without jitter the organ begins at half the crop less half its own size: (7, 9, 4).
    assert np.min(corners, axis=0).tolist() == [4, 7, 3] and np.max(corners, axis=0).tolist() == [10, 11, 5]


def test_random_crop_stays_inside_and_keeps_a_short_axis_whole(labelled):
    crop = RandCropFixedAroundLabeld("label", "label", size=(56, 24, 128), jitter=(30, 0, 8))
    crop.set_random_state(seed=0)
    assert {tuple(crop(labelled)["label"].shape) for _ in range(5)} == {(1, 56, 24, 30)}


def test_crop_without_the_organ_lies_in_the_middle(labelled):
    empty = {"label": torch.arange(60 * 60 * 30).reshape(1, 60, 60, 30) + 2}
    crop = RandCropFixedAroundLabeld("label", "label", size=(20, 20, 10), jitter=(0, 0, 0))
    assert crop(empty)["label"][0, 0, 0, 0] == 2 + (20 * 60 + 20) * 30 + 10


def test_skeleton_of_a_label_with_affine_is_a_plain_tensor_as_a_cache_returns_it():
    label = MetaTensor(torch.ones(1, 4, 4, 4))
    assert type(SkeletonTargetd("label")({"label": label})["skeleton"]) is torch.Tensor
