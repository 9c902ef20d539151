"""From labels to masks of the target organ, for validation metrics."""

from __future__ import annotations

from monai.config import KeysCollection
from monai.transforms import MapTransform


class TargetMaskd(MapTransform):
    """Mask (1, X, Y, Z) of one class, from class indices (1 or more, X, Y, Z) in the first channel.

    Args:
        keys: class indices.
        target: the class.
    """

    def __init__(self, keys: KeysCollection, target: int = 1, allow_missing_keys: bool = False) -> None:
        super().__init__(keys, allow_missing_keys)
        self.target = target

    def __call__(self, data: dict) -> dict:
        d = dict(data)
        for key in self.key_iterator(d):
            d[key] = (d[key][:1] == self.target).float()
        return d
