"""From network outputs and labels to masks of the target organ, for validation metrics."""

from __future__ import annotations

from monai.config import KeysCollection
from monai.transforms import MapTransform


class TargetMaskd(MapTransform):
    """Mask (1, X, Y, Z) of one class, from logits (N, X, Y, Z) by the largest, or from class indices (1, X, Y, Z).

    Args:
        keys: logits or class indices.
        target: the class.
    """

    def __init__(self, keys: KeysCollection, target: int = 1, allow_missing_keys: bool = False) -> None:
        super().__init__(keys, allow_missing_keys)
        self.target = target

    def __call__(self, data: dict) -> dict:
        d = dict(data)
        for key in self.key_iterator(d):
            values = d[key]
            classes = values.argmax(dim=0, keepdim=True) if len(values) > 1 else values
            d[key] = (classes == self.target).float()
        return d
