"""bundle.training.FiniteLoss and CachedScans: a spoilt training ends and names what it met."""

from __future__ import annotations

import pytest
import torch
from monai.engines import SupervisedTrainer
from torch import nn

from bundle.errors import InputError
from bundle.training import CachedScans, FiniteLoss


def train(images, learning_rate: float = 0.1) -> nn.Module:
    network = nn.Conv1d(1, 1, 1)
    batches = [{"image": image[None, None], "label": image[None, None], "case": [name]} for name, image in images]
    optimizer = torch.optim.SGD(network.parameters(), lr=learning_rate)
    SupervisedTrainer(
        torch.device("cpu"), 1, batches, network, optimizer, nn.L1Loss(), train_handlers=[FiniteLoss()]
    ).run()
    return network


def test_a_loss_that_is_no_number_names_the_scan():
    with pytest.raises(InputError, match="scan_b: the loss is a number; received nan"):
        train([("scan_a", torch.ones(4)), ("scan_b", torch.full((4,), torch.nan)), ("scan_c", torch.ones(4))])


def test_weights_that_are_no_numbers_end_the_epoch():
    with pytest.raises(InputError, match="weights are numbers; received NaN or infinity in weight"):
        train([("scan_a", torch.ones(4))], learning_rate=float("inf"))


def test_a_good_training_goes_through():
    assert torch.isfinite(train([("scan_a", torch.ones(4)), ("scan_b", torch.zeros(4))]).weight).all()


def without_name(item: dict) -> dict:
    return {"image": torch.ones(1)}


def test_samples_know_their_scans(tmp_path):
    data = [{"image": "/data/scan_a.nii.gz"}, {"image": "/data/scan_b.nii"}]
    dataset = CachedScans(data, transform=without_name, cache_dir=tmp_path)
    assert [dataset[index]["case"] for index in (0, 1, 0)] == ["scan_a", "scan_b", "scan_a"]
