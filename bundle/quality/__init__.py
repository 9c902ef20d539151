"""How good a mask probably is: the cascade's opinions about it, calibrated to a predicted Dice."""

from __future__ import annotations

from bundle.quality.opinions import OPINIONS, opinions
from bundle.quality.predict import predict_dice

__all__ = ["OPINIONS", "opinions", "predict_dice"]
