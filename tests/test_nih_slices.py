"""bundle.evaluation.nih_slices: on drawn slices of eight patients, and what can be said of the real ones."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pytest
import torch
from ignite.engine import Events
from skimage import io

from bundle.errors import InputError
from bundle.evaluation import nih_slices
from bundle.evaluation.nih_slices import Settings, run_fold, write_page
from bundle.evaluation.nih_slices_command import Network
from bundle.evaluation.nih_slices_command import nih_slices as command
from bundle.evaluation.rendered_slices import rendered_slices
from bundle.evaluation.tables import read_table
from bundle.read.slices import RealSlice, held_out_patients, read_slices
from tests.phantoms import write_dataset
from tests.slice_phantoms import write_slices

DATA = Path(os.environ.get("PANCREAS_DATA", Path(__file__).parents[2] / "shared" / "data"))
CPU = torch.device("cpu")
TINY = {"epochs": 2, "units": 1, "channels": 2, "size": 16, "batch_size": 4, "learning_rate": 0.01}


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return write_slices(tmp_path_factory.mktemp("data"))


@pytest.fixture(scope="module")
def slices(data):
    return read_slices(data)


def test_slices_are_turned_to_left_to_right_and_back_to_front(tmp_path):
    # The file's top row is the patient's back, its first column the patient's right.
    pixels = np.zeros((32, 32), dtype=np.uint8)
    pixels[:8, 16:] = 255
    for kind in ("images", "masks"):
        (tmp_path / "nih_slices" / kind).mkdir(parents=True)
        io.imsave(tmp_path / "nih_slices" / kind / "PANCREAS_0001-1001.jpg", pixels, check_contrast=False)
    (item,) = read_slices(tmp_path)
    expected = torch.zeros(1, 32, 32, dtype=torch.bool)
    expected[:, :16, :8] = True
    assert torch.equal(item.label, expected)
    assert torch.equal(item.image > 127, expected)


def test_what_is_black_is_fat():
    gray = torch.tensor([[[0, 4, 8, 100, 255]]], dtype=torch.uint8)
    item = RealSlice("a", "a", gray, gray > 0)
    assert item.image_hu().tolist() == [[[-100, -46, 8, 100, 255]]]


def test_t68_each_patient_is_tested_once(slices):
    tested = [patient for fold in range(4) for patient in held_out_patients(slices, fold)]
    assert tested == sorted({item.patient for item in slices})


def test_a_fold_scores_its_patients_at_the_slices_own_size(slices, tmp_path):
    rows = run_fold(slices, Settings(fold=1, **TINY), tmp_path, CPU)
    assert [row["case"] for row in rows] == [s.name for s in slices if s.patient in held_out_patients(slices, 1)]
    assert [row["label_pixels"] for row in rows] == [
        int(s.label.sum()) for s in slices if s.patient in held_out_patients(slices, 1)
    ]


class Watched(nih_slices.SupervisedTrainer):
    """Notes the loss of each step by epoch; stops as the epoch ``stop`` begins."""

    losses: dict[int, list[float]] = {}
    stop = 0

    def __init__(self, **arguments):
        super().__init__(**arguments)
        Watched.losses = {}
        self.add_event_handler(Events.EPOCH_STARTED, self.begin)
        self.add_event_handler(Events.ITERATION_COMPLETED, self.note)

    def begin(self, engine):
        if engine.state.epoch == self.stop:
            raise KeyboardInterrupt
        self.losses[engine.state.epoch] = []

    def note(self, engine):
        self.losses[engine.state.epoch].append(float(engine.state.output[0]["loss"]))


@pytest.fixture
def watched(monkeypatch):
    monkeypatch.setattr(nih_slices, "SupervisedTrainer", Watched)
    monkeypatch.setattr(Watched, "stop", 0)
    return Watched


@pytest.mark.parametrize("loss", nih_slices.LOSSES)
def test_each_loss_falls(slices, tmp_path, watched, loss):
    run_fold(slices, Settings(loss=loss, **(TINY | {"epochs": 8, "channels": 8})), tmp_path, CPU)
    # Four epochs of one unit; then another sum of losses begins.
    assert np.mean(watched.losses[4]) < np.mean(watched.losses[1])


def test_an_interrupted_training_goes_on_after_its_last_epoch(slices, tmp_path, watched, monkeypatch):
    monkeypatch.setattr(watched, "stop", 2)
    with pytest.raises(KeyboardInterrupt):
        run_fold(slices, Settings(**TINY), tmp_path, CPU)
    monkeypatch.setattr(watched, "stop", 0)
    run_fold(slices, Settings(**TINY), tmp_path, CPU)
    assert list(watched.losses) == [2]


@pytest.fixture(scope="module")
def segmenter(tmp_path_factory):
    """Settings for the cascade's segmenter, from random weights."""
    path = tmp_path_factory.mktemp("weights") / "model.pt"
    torch.manual_seed(0)
    torch.save(nih_slices.segmenter(Settings()).flat.network.state_dict(), path)
    return {"network": "segmenter", "checkpoint": str(path), "size": 32, "learning_rate": 0.001}


def test_the_cascades_segmenter_is_tested_as_it_is(slices, tmp_path, segmenter):
    rows = run_fold(slices, Settings(epochs=0, **segmenter), tmp_path, CPU)
    assert len(rows) == 4 and not (tmp_path / "state.pt").exists()


def test_the_cascades_segmenter_learns_from_slices(slices, tmp_path, segmenter, watched):
    run_fold(slices, Settings(epochs=6, **segmenter), tmp_path, CPU)
    assert np.mean(watched.losses[6]) < np.mean(watched.losses[1])


def test_the_segmenter_learns_from_rendered_slices_first(data, tmp_path, segmenter):
    scans, output = write_dataset(tmp_path), tmp_path / "output"
    options = segmenter | {"checkpoint": Path(segmenter["checkpoint"]), "network": Network.SEGMENTER}
    command(output=output, data=data, fold=[0], epochs=0, rendered=scans, rendered_epochs=1, device="cpu", **options)
    start = json.loads((output / "sum" / "fold_0" / "settings.json").read_text())["checkpoint"]
    before, after = (torch.load(path, weights_only=True) for path in (segmenter["checkpoint"], start))
    assert before.keys() == after.keys() and not all(torch.equal(before[key], after[key]) for key in before)


def test_rendered_slices_are_for_the_segmenter_alone(data, tmp_path):
    with pytest.raises(InputError, match="--network segmenter"):
        command(output=tmp_path, data=data, rendered=tmp_path)


@pytest.mark.parametrize(("option", "size"), [("--size", {"size": 20}), ("--test-size", {"test_sizes": (24, 20)})])
def test_the_segmenter_refuses_slices_that_its_poolings_do_not_divide(option, size, slices, segmenter, tmp_path):
    rule = f"{option}: the segmenter takes .* a multiple of 8 pixels .*; received 20. The next is 24"
    with pytest.raises(InputError, match=rule):
        run_fold(slices, Settings(**(segmenter | size)), tmp_path, CPU)


def test_probabilities_at_several_sizes_are_averaged(slices, tmp_path, monkeypatch):
    logit = {16: 2.0, 32: -1.0}
    monkeypatch.setitem(nih_slices.NETWORKS, "fake", lambda settings: Constant(logit))
    rows = run_fold(slices, Settings(epochs=0, network="fake", test_sizes=(16, 32)), tmp_path, CPU)
    # (0.88 + 0.27) / 2 = 0.57 everywhere.
    assert rows[0]["dice_at_0.55"] > 0 and rows[0]["dice_at_0.60"] == 0


class Constant(torch.nn.Module):
    """A network whose answer depends on the size of the slice alone."""

    def __init__(self, logit: dict[int, float]):
        super().__init__()
        self.logit = logit

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        return torch.full_like(image[:, :1], self.logit[image.shape[-1]])


def test_rendered_slices_are_square_and_hold_the_gland(tmp_path):
    # 64 voxels of 3 mm, stored as LPS; the block of phantom 0 at X 20 to 36, Y 24 to 36, Z 28 to 38 of them.
    items = rendered_slices(write_dataset(tmp_path), per_scan=2)
    first = items[0]
    assert len(items) == 8 and first.patient == "case_0" and first.image.dtype == torch.uint8
    assert first.image.shape == first.label.shape == (1, 128, 128)
    expected = torch.zeros(1, 128, 128, dtype=torch.bool)
    expected[:, 96 - 36 : 96 - 20, 96 - 36 : 96 - 24] = True
    assert torch.equal(first.label, expected)
    assert first.image[expected].float().mean() > 100 and not first.image[:, :32].any()


def test_rendered_scans_without_a_gland_are_refused(tmp_path, monkeypatch):
    monkeypatch.setattr("bundle.evaluation.rendered_slices.MIN_AREA_MM2", 1e6)
    with pytest.raises(InputError, match="holds pancreas"):
        rendered_slices(write_dataset(tmp_path))


def test_a_finished_training_is_only_tested(slices, tmp_path, monkeypatch):
    settings = Settings(**TINY)
    rows = run_fold(slices, settings, tmp_path, CPU)
    (tmp_path / "slices.csv").unlink()
    monkeypatch.setattr(nih_slices.SupervisedTrainer, "run", None)
    assert run_fold(slices, settings, tmp_path, CPU) == rows


def test_other_settings_in_the_same_folder_are_refused(slices, tmp_path):
    run_fold(slices, Settings(**TINY), tmp_path, CPU)
    with pytest.raises(InputError, match="one setting.*'channels': 2"):
        run_fold(slices, Settings(**(TINY | {"channels": 3})), tmp_path, CPU)


def test_a_patients_dice_is_that_of_all_slices_together(tmp_path):
    plateau = dict.fromkeys(nih_slices.COLUMNS[-19:], 0.5)
    rows = [
        dict(zip(nih_slices.COLUMNS, values), **plateau)
        for values in (
            ("PANCREAS_0001-1001", 0.0, 1.0, 30, 30, 30),
            ("PANCREAS_0001-1002", 0.0, 0.0, 0, 0, 30),
            ("PANCREAS_0002-1001", 0.0, 0.5, 5, 10, 10),
        )
    ]
    page = write_page({"jaccard": rows}, Settings(), tmp_path)
    # Patient 1: 2 · 30 / (30 + 60) = 2/3; patient 2: 1/2.
    assert "| jaccard | 1 | 3 | 0.500 ± 0.500 [0.000, 1.000] | 2 | 0.583 ± 0.118 [0.500, 0.667] |" in page
    assert (tmp_path / "plateau.png").is_file()


def test_the_command_trains_what_is_asked_and_writes_the_page(data, tmp_path):
    command(output=tmp_path, data=data, loss=None, fold=[3], device="cpu", seed=0, **TINY)
    assert sorted(path.parent.name for path in tmp_path.glob("jaccard/*/slices.csv")) == ["fold_3"]
    assert len(read_table(tmp_path / "balanced" / "fold_3" / "slices.csv")) == 4
    assert "cross_entropy" in (tmp_path / "nih_slices.md").read_text(encoding="utf-8")


def test_a_folder_without_slices_is_named(tmp_path):
    with pytest.raises(InputError, match="PANCREAS_DATA"):
        read_slices(tmp_path)


def test_a_slice_without_mask_is_named(tmp_path):
    (tmp_path / "nih_slices" / "images").mkdir(parents=True)
    path = tmp_path / "nih_slices" / "images" / "PANCREAS_0001-1001.jpg"
    io.imsave(path, np.zeros((8, 8), dtype=np.uint8), check_contrast=False)
    with pytest.raises(InputError, match="PANCREAS_0001-1001.jpg: a slice has a mask"):
        read_slices(tmp_path)


@pytest.mark.skipif(not (DATA / "nih_slices").is_dir(), reason="the real slices are not here; set PANCREAS_DATA")
def test_the_real_slices_are_of_45_patients_and_all_hold_pancreas():
    slices = read_slices(DATA)
    assert (len(slices), len({item.patient for item in slices})) == (193, 45)
    assert [len(held_out_patients(slices, fold)) for fold in range(4)] == [11, 11, 11, 12]
    assert all(item.label.any() for item in slices)
