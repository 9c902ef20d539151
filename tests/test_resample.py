"""bundle.preprocess.resample: voxel edges aligned, answers worked out by hand."""

from __future__ import annotations

import pytest
import torch

from bundle.preprocess.resample import resample, resample_label


def along(axis: int, values: list[float]) -> torch.Tensor:
    """One row of voxels (1, X, Y, Z) along an axis."""
    shape = [1, 1, 1, 1]
    shape[axis + 1] = len(values)
    return torch.tensor(values).reshape(shape)


def resampled_row(axis: int, values: list[float], length: int, method: str = "linear") -> list[float]:
    size = [1, 1, 1]
    size[axis] = length
    return resample(along(axis, values), (size[0], size[1], size[2]), method).flatten().tolist()


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_twice_as_many_voxels_lie_at_quarters_between_centres(axis):
    # New centres at -0.25 (edge padding), 0.25, 0.75 and 1.25 of the old index.
    assert resampled_row(axis, [0, 4], 4) == pytest.approx([0, 1, 3, 4])


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_half_as_many_voxels_average_with_a_triangle_twice_as_wide(axis):
    # First new centre at 0.5 of the old index, triangle of half width 2: weights .75 .75 .25 over 1.75;
    # second at 2.5: .25 .75 .75 (mirrored).
    expected = [(0.75 * 7 + 0.25 * 14) / 1.75, (0.25 * 7 + 0.75 * 14 + 0.75 * 21) / 1.75]
    assert resampled_row(axis, [0, 7, 14, 21], 2) == pytest.approx(expected)


def test_fewer_voxels_skip_none():
    single = torch.zeros(1, 12, 1, 1)
    for index in range(12):
        single.zero_()[0, index] = 1
        assert resample(single, (3, 1, 1)).sum() > 0


@pytest.mark.parametrize("size", [(5, 7, 3), (40, 8, 11), (6, 9, 4), (1, 1, 1)])
def test_constant_stays_constant(size):
    volume = torch.full((2, 6, 9, 4), -37.0)
    assert torch.allclose(resample(volume, size), torch.full((2, *size), -37.0))


@pytest.mark.parametrize("size", [(5, 7, 3), (40, 8, 11)])
def test_values_never_leave_the_range_of_the_input(size):
    volume = torch.rand(1, 6, 9, 4, generator=torch.Generator().manual_seed(0))
    result = resample(volume, size)
    assert volume.min() <= result.min() and result.max() <= volume.max()


def test_same_size_gives_the_same_values_as_float32():
    volume = torch.arange(24, dtype=torch.int16).reshape(1, 2, 3, 4)
    result = resample(volume, (2, 3, 4))
    assert result.dtype == torch.float32
    assert torch.equal(result, volume.float())


def test_flipped_volume_gives_the_flipped_result():
    volume = torch.rand(1, 6, 9, 4, generator=torch.Generator().manual_seed(0))
    expected = resample(volume, (4, 13, 7)).flip(1, 2, 3)
    assert torch.allclose(resample(volume.flip(1, 2, 3), (4, 13, 7)), expected, atol=1e-6)


def test_volume_longer_than_a_slab_is_resampled_as_one():
    # Along X in slabs of 32: the ramp 0..69 at half the voxels is a ramp with centres at 0.5, 2.5, ...
    ramp = along(0, [float(i) for i in range(70)])
    assert resample(ramp, (35, 1, 1)).flatten()[1:-1].tolist() == pytest.approx([2 * i + 0.5 for i in range(1, 34)])


def test_ramp_stays_a_ramp_between_the_outer_centres():
    # 10 voxels to 40: new centres at (j + 0.5) / 4 - 0.5.
    result = resampled_row(2, [float(i) for i in range(10)], 40)
    assert result[2:-2] == pytest.approx([(j + 0.5) / 4 - 0.5 for j in range(2, 38)], abs=1e-5)


def test_label_gets_the_value_with_the_largest_share():
    # 4 voxels to 2 with weights .75 .75 .25: value 5 has 1.5 of 1.75 in the first, value 9 all but .25 in the second.
    label = torch.tensor([5, 5, 9, 9], dtype=torch.uint8).reshape(1, 4, 1, 1)
    result = resample_label(label, (2, 1, 1))
    assert result.dtype == torch.uint8
    assert result.flatten().tolist() == [5, 9]


def test_label_never_gets_a_value_in_between():
    # A linear mean of 1 and 13 would give 7.
    label = torch.tensor([1, 13], dtype=torch.uint8).reshape(1, 1, 1, 2)
    assert set(resample_label(label, (1, 1, 7)).unique().tolist()) == {1, 13}


def test_tie_goes_to_the_smaller_value():
    label = torch.tensor([8, 3], dtype=torch.uint8).reshape(1, 1, 2, 1)
    assert resample_label(label, (1, 1, 1)).item() == 3


def test_label_there_and_back_is_the_label():
    label = torch.randint(0, 4, (1, 5, 6, 7), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)
    fine = resample_label(label, (15, 18, 21))
    assert torch.equal(fine[:, 1::3, 1::3, 1::3], label)


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_mean_averages_over_the_new_voxel(axis):
    assert resampled_row(axis, [0, 1, 2, 9, 4, 4, 4, 4], 2, "mean") == pytest.approx([3, 4])
    # Three voxels into two: each takes one and a half.
    assert resampled_row(axis, [2, 4, 8], 2, "mean") == pytest.approx([(2 + 4 / 2) / 1.5, (4 / 2 + 8) / 1.5])


def test_nearest_takes_one_of_every_four():
    volume = torch.arange(8).reshape(1, 8, 1, 1)
    assert resample(volume, (2, 1, 1), "nearest").flatten().tolist() == [1, 5]


# T-56: half the resolution by skipping, nearest back.
def test_t56_label_at_half_the_resolution_is_itself_on_even_coordinates():
    label = torch.randint(0, 3, (1, 8, 6, 10), generator=torch.Generator().manual_seed(0))
    half = resample_label(label, (4, 3, 5), "nearest")
    assert torch.equal(half, label[:, ::2, ::2, ::2])
    assert torch.equal(resample_label(half, (8, 6, 10), "nearest")[:, ::2, ::2, ::2], half)


@pytest.mark.parametrize("method", ["mean", "nearest"])
def test_constant_stays_constant_by_every_method(method):
    for size in ((5, 7, 3), (40, 8, 11)):
        assert torch.allclose(resample(torch.full((1, 6, 9, 4), 3.0), size, method), torch.full((1, *size), 3.0))


def test_label_by_mean_is_the_value_of_most_voxels():
    label = torch.tensor([0, 0, 1, 1, 1, 0, 0, 0, 2, 2, 2, 1]).reshape(1, 12, 1, 1)
    assert resample_label(label, (3, 1, 1), "mean").flatten().tolist() == [0, 0, 2]


def test_unknown_method_is_refused():
    with pytest.raises(ValueError, match="method must be one of"):
        resample(torch.zeros(1, 4, 4, 4), (2, 2, 2), "cubic")
