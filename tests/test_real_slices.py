"""bundle.training.RealSlices: the gradient of real slices beside that of the scans."""

from __future__ import annotations

import pytest
import torch
from monai.engines import SupervisedTrainer
from monai.networks.nets import UNet

from bundle.errors import InputError
from bundle.losses import MarginalDiceCELoss
from bundle.preprocess import HUWindows
from bundle.read.slices import held_out_patients, read_slices
from bundle.training import RealSlices
from tests.slice_phantoms import write_slices


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return write_slices(tmp_path_factory.mktemp("data"))


def unet() -> UNet:
    torch.manual_seed(0)
    return UNet(3, in_channels=2, out_channels=3, channels=(4, 8), strides=(2,))


def trained(network: UNet, *handlers, steps: int = 1, learning_rate: float = 0.01) -> UNet:
    """Train on noise without organs, which says: everything is background."""
    torch.manual_seed(1)
    batch = {"image": torch.rand(1, 2, 8, 8, 8), "label": torch.zeros(1, 1, 8, 8, 8)}
    optimizer = torch.optim.SGD(network.parameters(), lr=learning_rate)
    loss = MarginalDiceCELoss(num_classes=3)
    SupervisedTrainer(torch.device("cpu"), 1, [batch] * steps, network, optimizer, loss, train_handlers=handlers).run()
    return network


def slices(network: UNet, data, **settings) -> RealSlices:
    return RealSlices(network, str(data), HUWindows(), size=32, amp=False, **settings)


def test_the_slices_gradient_is_added_to_that_of_the_scans(data):
    steps = []
    for weight in (0.0, 1.0, 2.0):
        network = unet()
        trained(network, slices(network, data, weight=weight))
        steps.append(torch.cat([value.detach().flatten() for value in network.parameters()]))
    torch.testing.assert_close(steps[2] - steps[0], 2 * (steps[1] - steps[0]), atol=1e-6, rtol=1e-3)
    assert not torch.equal(steps[0], steps[1])


def test_without_weight_nothing_changes(data):
    with_slices = unet()
    trained(with_slices, slices(with_slices, data, weight=0.0))
    torch.testing.assert_close(with_slices.state_dict(), trained(unet()).state_dict())


def test_patients_of_the_test_fold_are_left_out(data):
    left = slices(unet(), data, test_fold=2)
    assert not set(left.patients) & set(held_out_patients(read_slices(data), 2))
    assert len(left.patients) == 6


def test_all_slices_come_before_one_comes_again(data):
    handler = slices(unet(), data, batch_size=3)
    # 16 slices: five batches of three and one of one.
    assert [len(handler._next_batch()["image"]) for _ in range(7)] == [3, 3, 3, 3, 3, 1, 3]


def test_two_processes_take_the_same_slices(data):
    batches = []
    for seed in (5, 6):
        torch.manual_seed(seed)  # each process has its own
        batches.append(slices(unet(), data)._next_batch()["image"])
    assert torch.equal(*batches)


def test_the_loss_of_the_slices_is_told_by_epoch(data, caplog):
    network = unet()
    with caplog.at_level("INFO", logger="bundle.training.real_slices"):
        trained(network, slices(network, data), steps=2)
    assert "epoch 1: loss of the real slices" in caplog.text


def test_no_slices_are_an_error(tmp_path):
    with pytest.raises(InputError, match="nih_slices"):
        slices(unet(), tmp_path)
