"""Losses: what a network's outputs cost, given the label."""

from bundle.losses.marginal import MarginalDiceCELoss

__all__ = ["MarginalDiceCELoss"]
