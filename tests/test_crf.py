"""bundle.crf: against a dense reference that holds every pair of voxels, and identities that need none."""

from __future__ import annotations

import math
from collections.abc import Sequence

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from bundle.crf import DenseCRF
from bundle.crf.gaussian import gaussian_factor, gaussian_matrix, gaussian_nodes

GRAY = (0, 255)  # a window in which Hounsfield units are gray levels


def reference(
    probability: torch.Tensor,
    gray: torch.Tensor,
    spacing_mm: Sequence[float],
    sigma_alpha_mm: Sequence[float] = (3, 3, 3),
    weight_alpha: float = 3,
    sigma_beta_mm: Sequence[float] = (5, 5, 5),
    weight_beta: float = 5,
    sigma_gamma: float = 10,
) -> torch.Tensor:
    """The mean field after 5 iterations with N x N kernels in float64, for N voxels."""
    axes = [torch.arange(n, dtype=torch.float64) * s for n, s in zip(gray.shape[1:], spacing_mm)]
    position = torch.stack(torch.meshgrid(*axes, indexing="ij"), dim=-1).reshape(-1, 3)
    offset = position[:, None] - position
    level = gray.double().flatten()
    smoothness = (offset / torch.tensor(sigma_alpha_mm)).square().sum(dim=-1)
    distance = (offset / torch.tensor(sigma_beta_mm)).square().sum(dim=-1)
    appearance = distance + ((level[:, None] - level) / sigma_gamma).square()
    kernel = torch.zeros_like(distance)
    for weight, exponent in ((weight_alpha, smoothness), (weight_beta, appearance)):
        gaussian = torch.exp(-exponent / 2)
        root = gaussian.sum(dim=1).rsqrt()
        kernel += weight * root[:, None] * gaussian * root
    foreground = probability.double().flatten(1)
    every_class = torch.cat([1 - foreground.sum(dim=0, keepdim=True), foreground])
    log_probability = every_class.clamp(1e-5, 1 - 1e-5).log()
    refined = log_probability.softmax(dim=0)
    for _ in range(5):
        refined = (log_probability + refined @ kernel).softmax(dim=0)
    return refined[1:].reshape(probability.shape)


def phantom(size: Sequence[int], contrast: float = 40, classes: int = 1) -> tuple[torch.Tensor, torch.Tensor]:
    """Noisy probabilities (K, X, Y, Z) and gray levels (1, X, Y, Z), higher by ``contrast`` in one corner."""
    generator = torch.Generator().manual_seed(0)
    inside = torch.zeros(*size)
    inside[tuple(slice(n // 2 + 1) for n in size)] = 1
    logits = 4 * torch.rand((classes + 1, *size), generator=generator)
    logits[1] += 2 * inside
    gray = 70 + 10 * torch.randn(size, generator=generator) + contrast * inside
    return logits.softmax(dim=0)[1:], gray.clamp(0, 255)[None]


# T-63: 6³ voxels; the object [1:4]³ and one voxel apart from it.
T63_PROBABILITY = torch.full((1, 6, 6, 6), 0.05)
T63_PROBABILITY[0, 1:4, 1:4, 1:4] = 0.9
T63_PROBABILITY[0, 5, 5, 5] = 0.9
T63_GRAY = torch.zeros(1, 6, 6, 6)
T63_GRAY[0, 1:4, 1:4, 1:4] = 100
T63_SIGMAS = {"sigma_alpha_mm": (1, 1, 1), "sigma_beta_mm": (3, 3, 3), "sigma_gamma": 10}
T63 = [
    ((3, 0), {(2, 2, 2): 0.9159, (5, 5, 5): 0.5990, (0, 5, 0): 0.0047}),
    ((3, 5), {(2, 2, 2): 0.9998, (5, 5, 5): 0.0110, (0, 5, 0): 0.0001}),
]


@pytest.mark.parametrize(("weights", "expected"), T63)
def test_t63_dense_reference_to_four_decimals(weights, expected):
    sigmas = T63_SIGMAS | {"weight_alpha": weights[0], "weight_beta": weights[1]}
    refined = reference(T63_PROBABILITY, T63_GRAY, (1, 1, 1), **sigmas)[0]
    assert {voxel: round(float(refined[voxel]), 4) for voxel in expected} == expected


@pytest.mark.parametrize(("weights", "expected"), T63)
def test_t63_crf(weights, expected):
    crf = DenseCRF(weight_alpha=weights[0], weight_beta=weights[1], window_hu=GRAY, **T63_SIGMAS)
    refined = crf(T63_PROBABILITY, T63_GRAY, (1, 1, 1))[0]
    assert {voxel: float(refined[voxel]) for voxel in expected} == pytest.approx(expected, abs=1e-3)


NARROW = {"sigma_alpha_mm": (2, 3, 1), "sigma_beta_mm": (2, 4, 3), "sigma_gamma": 5}
SHARP = {"sigma_alpha_mm": (1, 1, 1), "sigma_beta_mm": (1.5, 1.5, 1.5), "sigma_gamma": 20}


@pytest.mark.parametrize("sigmas", [{}, NARROW, SHARP], ids=["default", "narrow", "sharp"])
@pytest.mark.parametrize("contrast", [0, 10, 100])
@pytest.mark.parametrize(
    ("size", "spacing_mm", "classes"),
    [
        ((8, 8, 8), (1, 1, 1), 1),
        ((8, 8, 8), (0.7, 1.2, 2.5), 2),
        # Along an axis as long as these the bilateral grid is coarser than the voxels, as in a region of real size.
        ((64, 2, 2), (1, 1, 1), 1),
        ((2, 2, 64), (0.7, 1.2, 1.5), 2),
    ],
)
def test_agrees_with_dense_reference(sigmas, contrast, size, spacing_mm, classes):
    probability, gray = phantom(size, contrast, classes)
    refined = DenseCRF(window_hu=GRAY, **sigmas)(probability, gray, spacing_mm)
    expected = reference(probability, gray, spacing_mm, **sigmas)
    torch.testing.assert_close(refined.double(), expected, atol=1e-3, rtol=0)


def test_t62_without_weights_the_input_comes_back():
    probability, gray = phantom((5, 6, 7), classes=3)
    refined = DenseCRF(weight_alpha=0, weight_beta=0)(probability, gray, (1, 1, 1))
    assert torch.equal(refined, probability)


def test_t62_object_and_background_swap():
    probability, gray = phantom((6, 7, 8))
    crf = DenseCRF(window_hu=GRAY)
    swapped = crf(1 - probability, gray, (1, 1, 1))
    torch.testing.assert_close(crf(probability, gray, (1, 1, 1)), 1 - swapped, atol=1e-5, rtol=0)


def test_classes_swap():
    probability, gray = phantom((6, 7, 8), classes=2)
    crf = DenseCRF(window_hu=GRAY)
    swapped = crf(probability.flip(0), gray, (1, 1, 1))
    torch.testing.assert_close(crf(probability, gray, (1, 1, 1)), swapped.flip(0), atol=1e-5, rtol=0)


# T-64: (2 pi)^(3/2) sigma^3; the sum over voxels is the integral to many digits.
@pytest.mark.parametrize(("sigma", "mass"), [(3, 425.24), (5, 1968.70)])
def test_t64_mass_of_the_kernel_without_normalization(sigma, mass):
    middle_row = gaussian_matrix(81, sigma)[40]
    assert float(middle_row.sum()) ** 3 == pytest.approx(mass, abs=0.005)


@pytest.mark.parametrize("step", [0.5, 0.6, 0.7, 0.8, 1.0])
def test_error_of_a_factor_is_what_the_step_promises(step):
    factor = gaussian_factor(100, sigma=5, step=step)
    error = (factor @ factor.T - gaussian_matrix(100, sigma=5)).abs().max()
    assert factor.shape[1] < 100
    assert float(error) <= 2 * math.exp(-(math.pi**2) / (2 * step**2)) + 5e-5  # beyond the ends: 3e-5


def test_a_factor_is_exact_where_nodes_would_outnumber_voxels():
    factor = gaussian_factor(8, sigma=5, step=0.7)
    assert factor.shape == (8, 8)
    torch.testing.assert_close(factor @ factor.T, gaussian_matrix(8, sigma=5))


def test_nodes_reach_two_sigma_beyond_the_positions():
    nodes = gaussian_nodes(length=25.5, step=0.7)  # 29.5 / 0.7 = 42.1 steps
    assert len(nodes) == 44
    assert float(nodes[0]) == pytest.approx(12.75 - 21.5 * 0.7)
    assert float(nodes[-1]) == pytest.approx(12.75 + 21.5 * 0.7)


def test_isolated_blob_vanishes_and_the_object_stays():
    probability = torch.full((1, 24, 16, 16), 0.02)
    probability[0, 3:13, 3:13, 3:13] = 0.9
    probability[0, 19:21, 7:9, 7:9] = 0.9
    gray = torch.full((1, 24, 16, 16), 100.0)
    gray[0, 3:13, 3:13, 3:13] = 150
    foreground = DenseCRF(window_hu=GRAY)(probability, gray, (1, 1, 1))[0] > 0.5
    assert foreground[3:13, 3:13, 3:13].all()
    assert not foreground[15:].any()


def test_hole_closes():
    probability = torch.full((1, 12, 12, 12), 0.9)
    probability[0, 6, 6, 6] = 0.1
    refined = DenseCRF(window_hu=GRAY)(probability, torch.full((1, 12, 12, 12), 100.0), (1, 1, 1))
    assert (refined > 0.5).all()


def test_edge_of_the_image_holds_the_label_back():
    # Undecided voxels go with the side whose gray level they share.
    probability = torch.full((1, 20, 4, 4), 0.5)
    probability[0, :6], probability[0, 14:] = 0.9, 0.1
    gray = torch.full((1, 20, 4, 4), 50.0)
    gray[0, :12] = 150
    foreground = DenseCRF(weight_alpha=0, window_hu=GRAY)(probability, gray, (1, 1, 1))[0] > 0.5
    assert foreground[:12].all()
    assert not foreground[12:].any()


def test_on_a_constant_image_appearance_is_a_gaussian_of_distance():
    probability, _ = phantom((30, 5, 6))
    constant = torch.full_like(probability, 123.4)
    appearance = DenseCRF(weight_alpha=0, weight_beta=4, sigma_beta_mm=(3, 2, 4), window_hu=GRAY)
    smoothness = DenseCRF(weight_alpha=4, weight_beta=0, sigma_alpha_mm=(3, 2, 4))
    expected = smoothness(probability, constant, (1, 1, 1))
    torch.testing.assert_close(appearance(probability, constant, (1, 1, 1)), expected, atol=1e-3, rtol=0)


def test_hounsfield_units_outside_the_window_are_alike():
    probability, _ = phantom((6, 6, 6))
    outside = torch.full_like(probability, 240.0)
    outside[0, 3:] = 3000
    crf = DenseCRF()
    assert torch.equal(crf(probability, outside, (1, 1, 1)), crf(probability, outside.clamp(max=240), (1, 1, 1)))


def test_widths_are_in_millimetres():
    probability, gray = phantom((6, 7, 8))
    narrow = DenseCRF(sigma_alpha_mm=(1, 1, 1), sigma_beta_mm=(2, 2, 2))
    wide = DenseCRF(sigma_alpha_mm=(1, 2, 3), sigma_beta_mm=(2, 4, 6))
    assert torch.equal(wide(probability, gray, (1, 2, 3)), narrow(probability, gray, (1, 1, 1)))


def test_axes_of_the_spacing_are_not_mixed_up():
    probability, gray = phantom((6, 7, 8))
    crf = DenseCRF(window_hu=GRAY)
    turned = crf(probability.permute(0, 3, 1, 2), gray.permute(0, 3, 1, 2), (3, 1, 2)).permute(0, 2, 3, 1)
    torch.testing.assert_close(turned, crf(probability, gray, (1, 2, 3)), atol=1e-5, rtol=0)


def test_what_is_far_away_does_not_count():
    # A cube in uniform surroundings, whose border is 8 sigma from it, in a volume with more of the same around.
    near = torch.full((1, 20, 20, 20), 1e-4)
    near[0, 8:12, 8:12, 8:12] = 0.8
    gray = 100 * near
    far, far_gray = torch.zeros(1, 44, 40, 36), torch.zeros(1, 44, 40, 36)
    middle = (slice(None), slice(12, 32), slice(10, 30), slice(8, 28))
    far[middle], far_gray[middle] = near, gray
    crf = DenseCRF(sigma_alpha_mm=(1, 1, 1), sigma_beta_mm=(1, 1, 1), window_hu=GRAY)
    refined = crf(far, far_gray, (1, 1, 1))[middle]
    torch.testing.assert_close(refined, crf(near, gray, (1, 1, 1)), atol=1e-4, rtol=0)


def test_refined_probabilities_are_probabilities():
    probability, gray = phantom((8, 8, 8), classes=3)
    refined = DenseCRF(window_hu=GRAY)(probability, gray, (1, 1, 1))
    assert refined.shape == probability.shape
    assert refined.min() >= 0
    assert refined.sum(dim=0).max() <= 1 + 1e-5


def test_empty_prediction_stays_empty():
    _, gray = phantom((6, 6, 6))
    assert not DenseCRF()(torch.zeros(2, 6, 6, 6), gray, (1, 1, 1)).any()


def test_class_that_is_nowhere_stays_so_and_does_not_disturb():
    probability, gray = phantom((6, 6, 6))
    refined = DenseCRF()(torch.cat([probability, torch.zeros_like(probability)]), gray, (1, 1, 1))
    assert not refined[1].any()
    assert torch.equal(refined[:1], DenseCRF()(probability, gray, (1, 1, 1)))


def test_certain_everywhere_stays_certain():
    refined = DenseCRF()(torch.ones(1, 5, 5, 5), torch.zeros(1, 5, 5, 5), (1, 1, 1))
    assert refined.min() > 0.999


def test_one_voxel():
    # Its only neighbour is itself, with weight 3 + 5: odds of 1/4 become (1/4) e^(8 (2 Q - 1)), iterated.
    expected = 0.2
    for _ in range(5):
        odds = 0.25 * math.exp(8 * (2 * expected - 1))
        expected = odds / (1 + odds)
    refined = DenseCRF()(torch.full((1, 1, 1, 1), 0.2), torch.zeros(1, 1, 1, 1), (1, 1, 1))
    assert float(refined) == pytest.approx(expected, abs=1e-5)


def test_same_result_every_time_and_input_untouched():
    probability, gray = phantom((8, 8, 8))
    before = probability.clone(), gray.clone()
    first, second = (DenseCRF()(probability, gray, (1, 1, 1)) for _ in range(2))
    assert torch.equal(first, second)
    assert torch.equal(probability, before[0]) and torch.equal(gray, before[1])


def test_float32_under_autocast():
    probability, gray = phantom((8, 8, 8))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        refined = DenseCRF()(probability, gray, (1, 1, 1))
    assert torch.equal(refined, DenseCRF()(probability, gray, (1, 1, 1)))


def test_half_precision_is_refined_in_float32():
    probability, gray = phantom((6, 6, 6))
    refined = DenseCRF()(probability.half(), gray.half(), (1, 1, 1))
    assert torch.equal(refined, DenseCRF()(probability.half().float(), gray.half().float(), (1, 1, 1)))


class LargestTensor(TorchDispatchMode):
    """Remembers the number of elements of the largest tensor that any operation returned."""

    elements = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        result = func(*args, **(kwargs or {}))
        tensors = result if isinstance(result, tuple | list) else [result]
        sizes = (tensor.numel() for tensor in tensors if isinstance(tensor, torch.Tensor))
        self.elements = max(self.elements, *sizes, 0)
        return result


def test_no_tensor_is_larger_than_the_classes_over_the_region():
    probability, gray = phantom((30, 20, 25), classes=2)
    with LargestTensor() as largest:
        DenseCRF(iterations=1)(probability, gray, (1, 1, 1))
    assert largest.elements == 3 * 30 * 20 * 25


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_same_on_the_gpu():
    probability, gray = phantom((40, 8, 9), classes=2)
    refined = DenseCRF()(probability.cuda(), gray, (1, 1, 1))
    assert refined.is_cuda
    torch.testing.assert_close(refined.cpu(), DenseCRF()(probability, gray, (1, 1, 1)), atol=1e-4, rtol=0)


@pytest.mark.parametrize("bad", [math.nan, math.inf])
@pytest.mark.parametrize("where", [0, 1], ids=["probability", "image_hu"])
def test_refuses_what_is_not_finite(bad, where):
    inputs = phantom((4, 4, 4))
    inputs[where][0, 1, 2, 3] = bad
    with pytest.raises(ValueError, match="must be finite"):
        DenseCRF()(*inputs, (1, 1, 1))


def test_refuses_an_image_of_another_size():
    with pytest.raises(ValueError, match=r"got \(1, 4, 4, 4\) and \(1, 4, 4, 5\)"):
        DenseCRF()(torch.zeros(1, 4, 4, 4), torch.zeros(1, 4, 4, 5), (1, 1, 1))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"sigma_alpha_mm": (3, 0, 3)}, "sigma_alpha must be positive"),
        ({"sigma_beta_mm": (-1, 5, 5)}, "sigma_beta must be positive"),
        ({"sigma_gamma": 0}, "sigma_gamma must be positive"),
        ({"weight_beta": -1}, "weights must not be negative"),
        ({"iterations": 0}, "iterations must be at least 1"),
        ({"window_hu": (240, -100)}, "lower to a higher"),
        ({"step": 0}, "step must be above 0"),
    ],
)
def test_refuses_settings_that_make_no_sense(arguments, message):
    with pytest.raises(ValueError, match=message):
        DenseCRF(**arguments)
