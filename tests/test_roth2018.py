"""Roth 2018: network, loss, candidate regions, patches, tiles, fine-tuning. Sizes are (X, Y, Z)."""

from __future__ import annotations

import json
import math
import pickle

import numpy as np
import pytest
import torch
from monai.data import MetaTensor
from torch import nn

from bundle.cascade import Localization, MaskRule, Stage, WholeVolumeInferer
from bundle.cascade.candidates import InsideBody, LargestClass, largest_class
from bundle.cascade.windows import TileInferer
from bundle.errors import InputError
from bundle.files import write_nifti
from bundle.geometry import Box, Grid
from bundle.losses.weighted_ce import IGNORED, WeightedCrossEntropyLoss, class_weights
from bundle.networks import prepare
from bundle.networks.valid_unet import ValidUNet, central
from bundle.preprocess import resample, resample_label
from bundle.preprocess.mean_max import ScaledHU
from bundle.read import label_classes
from bundle.training.bspline import RandBSplineDeformd
from bundle.training.candidate_region import BodyRegiond, FirstStageRegiond, OutsideIsBackgroundd, nearest
from bundle.training.first_stage import FirstStageMasks

NARROW = {"width": 1 / 32}  # 1 channel instead of 32


def on_meta(**settings) -> ValidUNet:
    with torch.device("meta"):
        return ValidUNet(**settings)


def parameters(network: nn.Module) -> int:
    return sum(p.numel() for p in network.parameters())


# --- network


@pytest.mark.parametrize(
    ("size", "out"), [((132, 132, 116), (44, 44, 28)), ((92, 100, 108), (4, 12, 20)), ((140, 92, 92), (52, 4, 4))]
)
def test_t01_output_is_88_voxels_shorter(size, out):
    assert on_meta()(torch.zeros(1, 1, *size, device="meta")).shape == (1, 8, *out)


@pytest.mark.parametrize(
    ("size", "below", "above"),
    [
        ((96, 132, 132), (92, 132, 132), (100, 132, 132)),
        ((93, 99, 107), (92, 92, 100), (100, 100, 108)),
        ((84, 92, 92), (92, 92, 92), (92, 92, 92)),
        ((4, 92, 95), (92, 92, 92), (92, 92, 100)),
    ],
)
def test_t01_other_sizes_are_refused_and_the_next_ones_named(size, below, above):
    with pytest.raises(ValueError, match="92 voxels or a multiple of 8 more") as caught:
        on_meta()(torch.zeros(1, 1, *size, device="meta"))
    assert str(caught.value).endswith(f"received {size}. The next sizes are {below} and {above}.")


def test_t02_shapes_of_every_step():
    network = on_meta()
    shapes = []
    for part in (*network.encoders, *(m for pair in zip(network.ups, network.decoders) for m in pair)):
        part.register_forward_hook(lambda module, inputs, output: shapes.append(tuple(output.shape[1:])))
    network(torch.zeros(1, 1, 132, 132, 116, device="meta"))
    assert shapes == [
        (64, 128, 128, 112),
        (128, 60, 60, 52),
        (256, 26, 26, 22),
        (512, 9, 9, 7),
        (512, 18, 18, 14),
        (256, 14, 14, 10),
        (256, 28, 28, 20),
        (128, 24, 24, 16),
        (128, 48, 48, 32),
        (64, 44, 44, 28),
    ]


@pytest.mark.parametrize(("classes", "count"), [(8, 19_072_712), (2, 19_072_322), (21, 19_073_557)])
def test_t03_parameters(classes, count):
    assert parameters(on_meta(out_channels=classes)) == count


def test_t03_weights_of_the_convolutions():
    weights = [p for name, p in on_meta().named_parameters() if p.ndim == 5]
    assert sum(p.numel() for p in weights) == 19_066_208


def test_t04_parameters_of_the_network_it_comes_from():
    # Cicek 2016, sec. 2: 3 channels in, 3 classes, no normalisation
    assert parameters(on_meta(in_channels=3, out_channels=3, norm="none")) == 19_069_955


@pytest.fixture
def one_dimensional(monkeypatch) -> ValidUNet:
    """One channel, one axis, positive weights, mean pooling: the gradient reaches exactly what a voxel sees."""
    network = ValidUNet(out_channels=1, norm="none", **NARROW)
    for parent in list(network.modules()):
        for name, child in list(parent.named_children()):
            if isinstance(child, nn.Conv3d | nn.ConvTranspose3d):
                size = (child.kernel_size[0], 1, 1)
                stride = (child.stride[0], 1, 1)
                setattr(parent, name, type(child)(child.in_channels, child.out_channels, size, stride, bias=False))
    network.pool = nn.AvgPool3d((2, 1, 1))  # type: ignore[assignment]
    for p in network.parameters():
        nn.init.constant_(p, 1 / p[0].numel())
    monkeypatch.setattr("bundle.networks.valid_unet._check_size", bool)
    return network


def extent(voxel: torch.Tensor, image: torch.Tensor) -> int:
    (gradient,) = torch.autograd.grad(voxel, image, retain_graph=True)
    seen = gradient.flatten().nonzero()
    return int(seen.max() - seen.min()) + 1


def test_t05_largest_extent_that_an_output_voxel_sees(one_dimensional):
    image = torch.ones(1, 1, 132, 1, 1, requires_grad=True)
    output = one_dimensional(image).flatten()
    assert len(output) == 44
    assert max(extent(voxel, image) for voxel in output[16:24]) == 100  # every place within a lowest-level voxel


def test_t06_what_a_voxel_of_the_lowest_level_sees(one_dimensional):
    lowest: list[torch.Tensor] = []
    one_dimensional.encoders[-1].register_forward_hook(lambda module, inputs, output: lowest.append(output))
    image = torch.ones(1, 1, 132, 1, 1, requires_grad=True)
    one_dimensional(image)
    assert {extent(voxel, image) for voxel in lowest[0][0, 0].flatten()} == {68}


def test_t71_a_tile_does_not_depend_on_the_others_of_its_batch_nor_on_training():
    network = ValidUNet(out_channels=2, **NARROW)
    tiles = torch.randn(2, 1, 92, 92, 92)
    tiles[1] *= 50
    with torch.no_grad():
        both = network.train()(tiles)
        assert torch.allclose(both[:1], network.eval()(tiles[:1]), atol=1e-3)


def test_only_the_first_and_the_last_convolution_have_a_bias():
    network = ValidUNet(**NARROW)
    biases = {name: m.bias for name, m in network.named_modules() if isinstance(m, nn.Conv3d | nn.ConvTranspose3d)}
    assert [name for name, bias in biases.items() if bias is not None] == ["encoders.0.0", "score"]
    assert network.encoders[0][0].bias.tolist() == pytest.approx([-0.1])  # type: ignore[index]


def test_width_scales_every_layer_but_input_and_output():
    network = on_meta(width=0.25)
    assert network.encoders[-1][0].weight.shape[:2] == (64, 64)  # type: ignore[index]
    assert network.score.weight.shape[:2] == (8, 16)


# --- loss


def label_of(*counts: int) -> torch.Tensor:
    """(1, 1, X, 1, 1), ``counts[k]`` voxels of class k."""
    values = [k for k, count in enumerate(counts) for _ in range(count)]
    return torch.tensor(values).reshape(1, 1, -1, 1, 1)


@pytest.mark.parametrize(
    ("counts", "weights"),
    [
        ((900, 60, 40), (0.05, 0.47, 0.48)),
        ((75, 25), (0.25, 0.75)),  # two classes: the weight of one is the share of the other
        ((10, 0, 10), (0.5, 0, 0.5)),  # only the classes present are counted
        ((10,), (1,)),
    ],
)
def test_t44_class_weights(counts, weights):
    found = class_weights(label_of(*counts))
    assert found[: len(weights)].tolist() == pytest.approx(weights)
    assert found.sum() == pytest.approx(1)


def test_t44_ignored_voxels_are_not_counted():
    label = torch.cat([label_of(75, 25), torch.full((1, 1, 50, 1, 1), IGNORED)], dim=2)
    assert torch.equal(class_weights(label), class_weights(label_of(75, 25)))
    assert class_weights(label)[IGNORED] == 0


@pytest.mark.parametrize("counts", [(900, 60, 40), (10, 990), (5, 1, 1, 1, 1, 1, 1, 1)])
def test_t45_zero_logits_cost_ln_k_whatever_the_weights(counts):
    logits = torch.zeros(1, 8, sum(counts), 1, 1)
    assert WeightedCrossEntropyLoss()(logits, label_of(*counts)).item() == pytest.approx(2.0794, abs=1e-4)


def test_t45_over_the_number_of_voxels_they_cost_less():
    logits = torch.zeros(1, 3, 1000, 1, 1)
    cost = WeightedCrossEntropyLoss("voxels")(logits, label_of(900, 60, 40)).item()
    assert cost == pytest.approx(math.log(3) * (0.9 * 0.1 + 0.06 * 0.94 + 0.04 * 0.96) / 2)


@pytest.mark.parametrize("normaliser", ["weights", "voxels"])
def test_t47_ignored_voxels_change_nothing(normaliser):
    loss = WeightedCrossEntropyLoss(normaliser)
    label = label_of(3, 2)
    label[0, 0, 1] = IGNORED
    logits = torch.randn(1, 2, 5, 1, 1, requires_grad=True)
    cost = loss(logits, label)
    cost.backward()
    assert logits.grad is not None
    assert (logits.grad.abs().sum(dim=1).flatten() > 0).tolist() == [True, False, True, True, True]
    changed = logits.detach().clone()
    changed[:, :, 1] = 100
    assert loss(changed, label).item() == pytest.approx(cost.item())


def test_loss_where_everything_is_ignored_is_zero():
    logits = torch.randn(1, 2, 5, 1, 1, requires_grad=True)
    cost = WeightedCrossEntropyLoss()(logits, torch.full((1, 1, 5, 1, 1), IGNORED))
    cost.backward()
    assert cost == 0 and logits.grad is not None and not logits.grad.any()


def test_loss_compares_with_the_middle_of_the_target():
    label = label_of(2, 5, 2)  # the outermost two voxels on both sides are of other classes
    logits = torch.zeros(1, 3, 5, 1, 1)
    logits[:, 1] = 20
    assert WeightedCrossEntropyLoss()({"pred": logits}, label).item() == pytest.approx(0, abs=1e-6)


def test_loss_takes_the_weights_of_the_case_where_they_are_given():
    # costs ln 2 and ln 4 for weights 3 and 1
    logits = torch.tensor([[0.0, 0.0], [0.0, math.log(3)]]).T.reshape(1, 2, 2, 1, 1)
    target = torch.tensor([[0.0, 0.0], [3.0, 1.0]]).reshape(1, 2, 2, 1, 1)
    cost = WeightedCrossEntropyLoss()(logits, target).item()
    assert cost == pytest.approx((3 * math.log(2) + math.log(4)) / 4)


# --- candidate regions


def meta(values: torch.Tensor, spacing_mm: float = 1.0) -> MetaTensor:
    return MetaTensor(values, affine=torch.diag(torch.tensor([spacing_mm, spacing_mm, spacing_mm, 1.0])))


@pytest.fixture
def phantom() -> MetaTensor:
    """Air, and a block of soft tissue in voxels 4 to 28 of each axis, with gas in its middle."""
    image = torch.full((1, 32, 32, 32), -1000, dtype=torch.int16)
    image[0, 4:28, 4:28, 4:28] = 40
    image[0, 14:18, 14:18, 14:18] = -1000
    return meta(image)


def test_body_and_labelled_voxels_are_not_ignored(phantom):
    label = meta(torch.zeros(1, 32, 32, 32, dtype=torch.uint8))
    label[0, 2, 2, 2] = 3
    marked = BodyRegiond("label")({"image": phantom, "label": label})["label"]
    inside = torch.zeros(32, 32, 32, dtype=torch.bool)
    inside[4:28, 4:28, 4:28] = inside[2, 2, 2] = True
    assert torch.equal((marked != IGNORED).as_tensor()[0], inside)
    assert marked[0, 2, 2, 2] == 3 and marked.dtype == torch.uint8 and isinstance(marked, MetaTensor)


def test_stage_finds_nothing_outside_the_body(phantom):
    inside = InsideBody()(torch.ones(2, 32, 32, 32), phantom.as_tensor(), (1, 1, 1))
    assert inside.shape == (2, 32, 32, 32) and inside.sum() == 2 * 24**3


@pytest.mark.parametrize(("dilation", "voxels"), [(0, 1), (3, 343), (5, 1331)])
def test_t54_first_stage_dilated_by_the_cube(tmp_path, dilation, voxels):
    found = np.zeros((15, 15, 15), dtype=np.uint8)
    found[7, 7, 7] = 1
    write_nifti(found, np.eye(4), tmp_path / "mask.nii.gz")
    label = meta(torch.zeros(1, 30, 30, 30, dtype=torch.uint8))
    label[0, 0, 0, 0] = 1  # missed by the first stage
    data = {"label": label, "first_stage": str(tmp_path / "mask.nii.gz")}
    marked = FirstStageRegiond("label", dilation=dilation)(data)["label"]
    assert (marked == 0).sum() == voxels * 2**3 and marked[0, 0, 0, 0] == 1


def test_t56_half_the_voxels_and_back_agree_where_the_coordinates_are_even():
    label = torch.randint(0, 2, (1, 12, 10, 8), dtype=torch.uint8)
    half = resample_label(label, (6, 5, 4), "nearest")
    assert torch.equal(half, label[:, ::2, ::2, ::2])
    assert torch.equal(resample(label, (6, 5, 4), "nearest")[0], half[0].float())
    back = nearest(half[0] > 0, (12, 10, 8))
    assert torch.equal(back[::2, ::2, ::2], label[0, ::2, ::2, ::2] > 0)
    fine, coarse = Grid((12, 10, 8), (1, 1, 1)), Grid((6, 5, 4), (2, 2, 2))
    region = MaskRule(dilation=0)(Localization(half.float(), coarse, fine))[0]
    assert region.mask is not None and torch.equal(region.mask, region.box.crop(back))


@pytest.mark.parametrize(
    ("probability", "regions"),
    [((0.3, 0.3), 0), ((0.35, 0.35), 1), ((0.45, 0.1), 0), ((0.45, 0.15), 1), ((0.2, 0.6), 1)],
)
def test_region_is_where_any_organ_is_the_likeliest_class(probability, regions):
    grid = Grid((4, 4, 4), (1, 1, 1))
    found = torch.zeros(2, 4, 4, 4)
    found[:, 1, 1, 1] = torch.tensor(probability)
    rule = LargestClass(MaskRule(dilation=0))
    assert [region.box for region in rule(Localization(found, grid, grid))] == [Box((1,) * 3, (2,) * 3)] * regions


@pytest.mark.parametrize(("threshold", "count"), [(0.0, 2), (0.8, 1), (0.95, 0)])
def test_region_holds_no_voxel_below_the_threshold(threshold, count):
    probability = torch.tensor([0.1, 0.6, 0.9]).reshape(1, 3, 1, 1)
    assert largest_class(probability, threshold).sum() == count


def test_prediction_in_ignored_voxels_is_background():
    label = torch.tensor([0, 1, IGNORED, IGNORED]).reshape(1, 4, 1, 1)
    data = {"pred": torch.ones(2, 4, 1, 1), "label": label}
    assert OutsideIsBackgroundd("pred")(data)["pred"][1].flatten().tolist() == [1, 1, 0, 0]


class BrightIsOrgan(nn.Module):
    """Class 1 above 0 of a network input."""

    def __init__(self) -> None:
        super().__init__()
        self.gain = nn.Parameter(torch.ones(1))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.cat([-x, self.gain * x], dim=1)


@pytest.fixture
def case(tmp_path) -> dict[str, str]:
    """A scan stored from left to right in steps of -1 mm, bright in a quarter of its X."""
    image = np.full((16, 8, 8), -100, dtype=np.int16)
    image[:4] = 100
    write_nifti(image, np.diag([-1.0, 1, 1, 1]), tmp_path / "scan.nii.gz")
    return {"image": str(tmp_path / "scan.nii.gz"), "label": "label.nii.gz"}


def half_resolution() -> Stage:
    return Stage(WholeVolumeInferer(4), downsample=2, intensity=ScaledHU(None, 0, 100), resampling="nearest")


def test_first_stage_writes_what_it_finds_in_ras_order(tmp_path, case):
    (named,) = FirstStageMasks(str(tmp_path / "found"), BrightIsOrgan(), half_resolution())([case])
    assert named.items() > case.items()
    label = meta(torch.zeros(1, 16, 8, 8, dtype=torch.uint8))
    marked = FirstStageRegiond("label", dilation=0)({**named, "label": label})["label"]
    assert (marked[0, :, 0, 0] == 0).tolist() == [False] * 12 + [True] * 4


def test_first_stage_that_finds_nothing_anywhere_is_refused(tmp_path, case):
    masks = FirstStageMasks(str(tmp_path / "found"), BrightIsOrgan(), half_resolution(), threshold=1.0)
    with pytest.raises(InputError, match="probability of 1; received nothing in 1 scans. .* lower region_threshold"):
        masks([case])


def test_first_stage_runs_again_only_for_other_weights(tmp_path, case):
    network = BrightIsOrgan()
    masks = FirstStageMasks(str(tmp_path / "found"), network, half_resolution())
    (first,) = masks([case])
    written = (tmp_path / "found").stat().st_mtime_ns
    (again,) = masks([case])
    assert again == first and (tmp_path / "found").stat().st_mtime_ns == written
    nn.init.constant_(network.gain, 2.0)
    (other,) = masks([case])
    assert other["first_stage"] != first["first_stage"]


@pytest.mark.parametrize("transform", [BodyRegiond("label"), FirstStageRegiond("label"), half_resolution()])
def test_what_a_cache_is_keyed_by_can_be_pickled(transform):
    assert pickle.dumps(pickle.loads(pickle.dumps(transform))) == pickle.dumps(transform)


# --- patches

STILL = {"sigma": 0.0, "rotate_deg": 0.0}


def coordinates(shape) -> torch.Tensor:
    """An image whose three channels are the coordinates of its voxels."""
    return torch.stack(torch.meshgrid(*(torch.arange(n, dtype=torch.float32) for n in shape), indexing="ij"))


def patch_of(label, seed=0, image=None, **settings):
    transform = RandBSplineDeformd(["image", "label"], "label", **settings)
    transform.set_random_state(seed=seed)
    return transform({"image": coordinates(label.shape[1:]) if image is None else image, "label": label})


def only(shape, voxel) -> torch.Tensor:
    """A label with one voxel that is not ignored."""
    label = torch.full((1, *shape), float(IGNORED))
    label[(0, *voxel)] = 1
    return label


def test_patch_is_centred_on_a_voxel_that_is_not_ignored():
    patch = patch_of(only((12, 14, 10), (5, 6, 4)), patch_size=(4, 6, 2), **STILL)
    assert torch.allclose(patch["image"], coordinates((12, 14, 10))[:, 3:7, 3:9, 3:5], atol=1e-4)
    assert patch["label"][0, 2, 3, 1] == 1


def test_every_voxel_of_the_region_can_be_the_centre():
    label = only((8, 8, 8), (1, 2, 3))
    label[0, 6, 5, 4] = 0
    patches = [patch_of(label, seed, patch_size=(1, 1, 1), **STILL)["image"] for seed in range(9)]
    assert {tuple(patch.flatten().round().tolist()) for patch in patches} == {(1, 2, 3), (6, 5, 4)}


def test_outside_the_scan_images_are_0_and_labels_ignored():
    image = torch.full((1, 4, 4, 4), 7.0)
    patch = patch_of(torch.ones(1, 4, 4, 4), image=image, patch_size=(32, 32, 32), **STILL)
    assert patch["image"].max() == 7 and (patch["image"] == 0).sum() > 32**3 - 6**3
    assert (patch["label"][0] == 1).sum() == 4**3 and (patch["label"][0] == IGNORED).sum() == 32**3 - 4**3


def test_rotation_keeps_distances_and_stays_small():
    patch = patch_of(only((40, 40, 40), (20, 20, 20)), patch_size=(17, 17, 17), sigma=0.0, rotate_deg=5.0)["image"]
    along_x = patch[:, 16, 8, 8] - patch[:, 0, 8, 8]
    assert along_x.norm() == pytest.approx(16, abs=1e-3)
    assert 0 < math.degrees(math.acos(along_x[0] / 16)) < 8


def test_control_values_of_standard_deviation_4_move_voxels_by_about_a_third():
    # a cubic B-spline over control values of unit variance has a variance of 0.479 along one axis
    label = only((40, 40, 40), (20, 20, 20))
    moved = [patch_of(label, seed, patch_size=(9, 9, 9), rotate_deg=0.0)["image"] for seed in range(25)]
    still = patch_of(label, 0, patch_size=(9, 9, 9), **STILL)["image"]
    assert torch.stack([m - still for m in moved]).std() == pytest.approx(4 * 0.479**1.5, rel=0.2)


def test_label_carries_the_weights_of_the_whole_region():
    label = torch.full((1, 10, 10, 10), float(IGNORED))
    label[0, :5] = 0
    label[0, 0, 0, :5] = 1
    patch = patch_of(label, patch_size=(32, 32, 32), **STILL)["label"]
    assert patch[1][patch[0] == 0].unique().tolist() == pytest.approx([0.01])
    assert patch[1][patch[0] == 1].unique().tolist() == pytest.approx([0.99])
    assert not patch[1][patch[0] == IGNORED].any()


def test_same_seed_same_patch():
    label = torch.zeros(1, 20, 20, 20)
    patches = [patch_of(label, 3, patch_size=(8, 8, 8)) for _ in range(2)]
    assert torch.equal(patches[0]["image"], patches[1]["image"])


# --- tiles


class Middle(nn.Module):
    """What a network without padding keeps of its input, and how often it was asked."""

    calls = 0

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.calls += 1
        return central(x, [n - 88 for n in x.shape[2:]])


def test_middle_leaves_the_odd_voxel_at_the_far_end():
    volume = torch.arange(5)[:, None, None] * torch.ones(1, 4, 3, dtype=torch.long)
    assert central(volume, (2, 4, 1)).shape == (2, 4, 1)
    assert central(volume, (2, 4, 1))[:, 0, 0].tolist() == [1, 2]


def test_gradient_of_the_middle_keeps_the_memory_layout():
    volume = torch.zeros(1, 4, 9, 8, 7).contiguous(memory_format=torch.channels_last_3d).requires_grad_()
    central(volume, (5, 4, 3)).sum().backward()
    assert volume.grad.is_contiguous(memory_format=torch.channels_last_3d) and volume.grad.sum() == 4 * 5 * 4 * 3


@pytest.mark.parametrize(("stride", "tiles"), [(None, 2 * 1 * 2), ((22, 22, 28), 3 * 2 * 2)])
def test_tiles_of_the_paper_cover_the_volume(stride, tiles):
    image = torch.randn(1, 1, 50, 30, 40)
    network = Middle()
    output = TileInferer((44, 44, 28), halo=44, stride=stride)(image, network)
    assert torch.allclose(output, image, atol=1e-6) and network.calls == tiles


def test_tiles_run_the_network_of_the_paper():
    network = ValidUNet(out_channels=2, **NARROW).eval()
    with torch.no_grad():
        assert TileInferer((4, 4, 4), halo=44)(torch.randn(1, 1, 3, 4, 2), network).shape == (1, 2, 3, 4, 2)


# --- fine-tuning onto other labels

ROTH_CLASSES = ["background", "pancreas", "arteries", "portal_veins", "liver", "spleen", "stomach", "gallbladder"]
NEW_CLASSES = ["background", "pancreas", "liver"]


def test_fine_tuning_onto_other_labels_keeps_all_but_the_score(tmp_path):
    (tmp_path / "dataset.json").write_text(json.dumps({"labels": dict(enumerate(ROTH_CLASSES))}))
    mapping = label_classes(tmp_path, None, NEW_CLASSES, others=ROTH_CLASSES[1:])
    assert mapping == {0: 0, 1: 1, 2: 0, 3: 0, 4: 2, 5: 0, 6: 0, 7: 0}

    trained = ValidUNet(out_channels=8, width=1 / 16)
    torch.save(trained.state_dict(), tmp_path / "model.pt")
    network = prepare(ValidUNet(out_channels=3, width=1 / 16), str(tmp_path / "model.pt"), "cpu", skip=["score"])
    old, new = trained.state_dict(), network.state_dict()
    assert all(torch.equal(old[key], new[key]) for key in old if not key.startswith("score"))
    assert new["score.weight"].shape[0] == 3

    image = torch.randn(1, 1, 92, 92, 92)
    old_label = torch.randint(0, 8, (1, 1, 92, 92, 92))
    label = torch.tensor([mapping[value] for value in range(8)])[old_label]
    loss, optimizer = WeightedCrossEntropyLoss(), torch.optim.SGD(network.parameters(), lr=0.01, momentum=0.99)
    costs = []
    for _ in range(3):
        optimizer.zero_grad()
        cost = loss(network(image), label)
        cost.backward()
        optimizer.step()
        costs.append(cost.item())
    assert costs[-1] < costs[0]
