"""Several patches of a scan once it is loaded, which may take longer than to learn from one."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from monai.transforms import Randomizable, Transform

Sample = dict[str, Any]


class SeveralPatches(Randomizable, Transform):
    """Call a random transform several times on what was loaded once; what follows in a ``Compose`` sees each result.

    Args:
        transform: cuts a patch, and leaves what it is given as it is.
        count: patches of each scan; with 1 the patch itself is returned, no list.
    """

    def __init__(self, transform: Callable[[Mapping[str, Any]], Sample], count: int = 1) -> None:
        self.transform = transform
        self.count = count

    def set_random_state(self, seed: int | None = None, state: np.random.RandomState | None = None) -> SeveralPatches:
        """Pass the state on to the transform."""
        super().set_random_state(seed, state)
        if isinstance(self.transform, Randomizable):
            self.transform.set_random_state(seed, state)
        return self

    def __call__(self, data: Mapping[str, Any]) -> Sample | list[Sample]:
        if self.count == 1:
            return self.transform(data)
        return [self.transform(data) for _ in range(self.count)]
