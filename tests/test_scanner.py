"""A coarse painted block, 4 mm voxels: air around soft tissue, a small "pancreas" off centre in it."""

from __future__ import annotations

import nibabel as nib
import numpy as np
import pytest
import torch

from bundle.errors import InputError
from bundle.rendering.appearance import Painted
from bundle.rendering.scanner import PADDING_HU, RenderedScan, ScannerSettings, acquire, read_settings
from bundle.rendering.scanner.sampling import sampling_matrix, slice_average
from bundle.rendering.tissues import Tissue

CLEAN = {
    "in_plane_spacing_mm": (2.0, 2.0),
    "slice_thickness_mm": (4.0, 4.0),
    "noise_hu": (0.001, 0.001),
    "offset_hu": 0.0,
    **{f"share_{what}": 0.0 for what in "overlapping slab lateral_crop starvation metal motion table circle".split()},
    "orientations": ("RAS",),
}


def block(pancreas_hu: float = 100.0, slices: int = 40) -> Painted:
    image_hu = torch.full((40, 36, slices), -1000.0)
    image_hu[4:-4, 4:-4] = 0.0
    image_hu[24:32, 20:26, 16:22] = pancreas_hu  # to the right, to the front
    label = (image_hu == pancreas_hu).to(torch.uint8) * Tissue.PANCREAS
    return Painted(image_hu, label, 4.0, {"phase": "portal"})


def scan(seed: int = 0, painted: Painted | None = None, **changes) -> RenderedScan:
    generator = torch.Generator().manual_seed(seed)
    return acquire(painted or block(), generator, ScannerSettings(**{**CLEAN, **changes}))


def pancreas_in_world(rendered: RenderedScan) -> np.ndarray:
    return nib.affines.apply_affine(rendered.affine, np.argwhere(rendered.label == Tissue.PANCREAS).mean(0))


def test_same_seed_same_scan():
    first, second = scan(3, noise_hu=(9.0, 9.0)), scan(3, noise_hu=(9.0, 9.0))
    assert np.array_equal(first.image_hu, second.image_hu)


def test_other_seed_other_noise():
    assert not np.array_equal(scan(3, noise_hu=(9.0, 9.0)).image_hu, scan(4, noise_hu=(9.0, 9.0)).image_hu)


@pytest.mark.parametrize("orientation", ["LPS", "LAS", "PIR", "SAL"])
def test_orientation_moves_no_voxel_in_the_world(orientation):
    reference, turned = scan(), scan(orientations=(orientation,))
    assert "".join(nib.aff2axcodes(turned.affine)) == orientation
    np.testing.assert_allclose(pancreas_in_world(turned), pancreas_in_world(reference), atol=1e-3)


def test_label_covers_what_it_names():
    rendered = scan()
    # Half of the block's 100 HU at its faces; the label rounds the corners a little more than the image does.
    assert rendered.image_hu[rendered.label == Tissue.PANCREAS].min() >= 45
    assert rendered.image_hu[rendered.label == 0].max() <= 70


def test_label_keeps_its_volume():
    painted_ml = 8 * 6 * 6 * 4.0**3 / 1000
    assert scan().facts["pancreas_ml"] == pytest.approx(painted_ml, rel=0.1)


def test_slice_averages_over_its_thickness():
    # 1 mm slices with a bright one in the middle of the 4 mm that are averaged: a quarter remains.
    matrix = sampling_matrix(torch.tensor([5.5]), 1.0, 11, slice_average(4.0), replicate=True)
    assert float(matrix[0, 5]) == pytest.approx(0.25, abs=0.02)


def test_beyond_the_painted_grid_is_air_in_plane():
    assert float(sampling_matrix(torch.tensor([-9.0]), 1.0, 11, slice_average(1.0)).sum()) == 0


def test_beyond_the_painted_grid_the_last_slice_goes_on():
    assert float(sampling_matrix(torch.tensor([-9.0]), 1.0, 11, slice_average(1.0), replicate=True)[0, 0]) == 1


@pytest.mark.parametrize(("thickness_mm", "level_hu"), [(3.0, 12.0), (0.75, 24.0), (12.0, 6.0)])
def test_noise_has_the_drawn_level_in_slices_of_3_mm_and_more_in_thinner_ones(thickness_mm, level_hu):
    slices = {"slice_thickness_mm": (thickness_mm, thickness_mm)}
    noisy, clean = scan(noise_hu=(12.0, 12.0), **slices).image_hu, scan(**slices).image_hu
    tissue = clean > -500
    assert (noisy[tissue] - clean[tissue]).std() == pytest.approx(level_hu, rel=0.15)


def test_scan_without_pancreas_shows_none():
    settings = {"share_without_pancreas": 1.0, "gap_mm": (8.0, 8.0)}
    assert all(Tissue.PANCREAS not in scan(seed, **settings).label for seed in range(5))


def test_scan_without_pancreas_needs_room():
    short = block()
    short = Painted(short.image_hu[..., 14:24], short.label[..., 14:24], 4.0, {})
    with pytest.raises(InputError, match="reaches 32 mm beyond the gap"):
        scan(painted=short, share_without_pancreas=1.0)


def test_slab_has_enough_slices_to_be_read():
    rendered = scan(share_slab=1.0, slab_mm=(10.0, 10.0))
    assert rendered.image_hu.shape[2] == 8  # slices of 4 mm


def test_slab_is_as_long_as_asked():
    rendered = scan(share_slab=1.0, slab_mm=(40.0, 40.0))
    assert rendered.image_hu.shape[2] == 10  # slices of 4 mm


@pytest.mark.parametrize("seed", range(12))
def test_slab_holds_its_share_of_the_gland(seed):
    # Slices 16 to 21 hold 48 voxels each, slice 30 a single one: a slab about that would show next to nothing.
    painted = block()
    painted.label[24, 20, 30] = Tissue.PANCREAS
    rendered = scan(seed, painted, share_slab=1.0, slab_mm=(40.0, 40.0), slab_gland_share=0.25)
    assert int((rendered.label == Tissue.PANCREAS).sum()) >= 0.2 * int((scan().label == Tissue.PANCREAS).sum())


def test_matrix_is_limited():
    assert max(scan(max_matrix=32, in_plane_spacing_mm=(2.0, 9.0)).image_hu.shape[:2]) <= 32


def test_corners_are_padded_outside_the_circle():
    assert scan(share_circle=1.0).image_hu[0, 0, 0] == PADDING_HU


def test_every_artefact_together_stays_in_range():
    everything = {name: 1.0 for name in CLEAN if name.startswith("share_")}
    rendered = scan(painted=block(pancreas_hu=500.0), noise_hu=(20.0, 20.0), **everything)
    assert rendered.image_hu.dtype == np.int16
    assert -1024 <= rendered.image_hu.min() <= rendered.image_hu.max() <= 3071


def test_table_lies_below_the_back_only():
    bare, on_table = scan(), scan(share_table=1.0)
    added = np.argwhere(on_table.image_hu > bare.image_hu.astype(int) + 10)[:, 1]
    assert len(added) and added.max() <= np.argwhere(bare.image_hu > -500)[:, 1].min()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"noise_hu": (5.0, 3.0)}, "noise_hu: a range is"),
        ({"slice_thickness_mm": (0.0, 3.0)}, "slice_thickness_mm: a range is"),
        ({"share_slab": 1.2}, "share_slab: a share lies"),
        ({"orientations": ("LPQ",)}, "orientations: an orientation names"),
    ],
)
def test_bad_settings_are_named(changes, message):
    with pytest.raises(InputError, match=message):
        ScannerSettings(**changes)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "are a JSON file"),
        ("[1]", "are a JSON object"),
        ('{"noise": [1, 2]}', "received 'noise'"),
        ('{"in_plane_spacing_mm": [1, 2]}', "received 'in_plane_spacing_mm'"),
        ('{"noise_hu": [20, 10]}', "noise_hu: a range is"),
        ('{"noise_hu": [20]}', "a range is"),
        ('{"share_table": "often"}', "a range is two numbers, a share one"),
    ],
)
def test_wrong_settings_in_a_file_are_refused(tmp_path, content, message):
    (tmp_path / "scanner.json").write_text(content)
    with pytest.raises(InputError, match=message):
        read_settings(tmp_path / "scanner.json", {"in_plane_spacing_mm": (0.7, 0.8)})


def test_settings_of_a_file_join_those_of_the_command(tmp_path):
    (tmp_path / "scanner.json").write_text('{"noise_hu": [30, 40], "share_table": 0, "orientations": ["LPS"]}')
    settings = read_settings(tmp_path / "scanner.json", {"in_plane_spacing_mm": (0.7, 0.8)})
    expected = {"noise_hu": (30, 40), "share_table": 0, "orientations": ("LPS",), "in_plane_spacing_mm": (0.7, 0.8)}
    assert settings == ScannerSettings(**expected)


def test_ranges_may_be_lists_as_json_has_them():
    assert list(ScannerSettings(noise_hu=[3, 9]).noise_hu) == [3, 9]
    with pytest.raises(InputError, match="noise_hu: a range is"):
        ScannerSettings(noise_hu=[9, 3])
