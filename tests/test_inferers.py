"""bundle.cascade.inferers: how a network covers its input."""

from __future__ import annotations

import pytest
import torch

from bundle.cascade import FittedWindowInferer, WholeVolumeInferer


class Seen:
    """A network that returns its input and remembers its size."""

    def __init__(self) -> None:
        self.sizes: set[tuple[int, ...]] = set()

    def __call__(self, windows: torch.Tensor) -> torch.Tensor:
        self.sizes.add(tuple(windows.shape[-3:]))
        return windows


@pytest.mark.parametrize(
    ("size", "window"),
    [((40, 40, 40), (32, 24, 16)), ((40, 40, 11), (32, 24, 16)), ((40, 40, 8), (32, 24, 16)),
     ((9, 40, 3), (16, 24, 16))],
)
def test_window_is_no_larger_than_the_input_needs(size, window):
    network = Seen()
    inputs = torch.rand(1, 1, *size)
    output = FittedWindowInferer((32, 24, 16), overlap=0.25, padding_mode="replicate")(inputs, network)
    assert network.sizes == {window}
    torch.testing.assert_close(output, inputs)


def test_whole_volume_is_padded_for_the_network_alone():
    network = Seen()
    inputs = torch.rand(1, 1, 17, 16, 5)
    assert torch.equal(WholeVolumeInferer(divisor=8)(inputs, network), inputs)
    assert network.sizes == {(24, 16, 16)}
