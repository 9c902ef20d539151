"""Losses: what a network's outputs cost, given the label."""

from bundle.losses.balanced import BalancedCrossEntropyLoss
from bundle.losses.centre import CentreLoss
from bundle.losses.cross_entropy import VoxelCrossEntropyLoss
from bundle.losses.heads import HeadsLoss
from bundle.losses.jaccard import JaccardLoss
from bundle.losses.marginal import MarginalDiceCELoss
from bundle.losses.scheduled import ScheduledSum
from bundle.losses.skeleton import SkeletonMultitaskLoss
from bundle.losses.sudre_dice import SudreDiceLoss
from bundle.losses.weighted_ce import WeightedCrossEntropyLoss

__all__ = [
    "BalancedCrossEntropyLoss",
    "CentreLoss",
    "HeadsLoss",
    "JaccardLoss",
    "MarginalDiceCELoss",
    "ScheduledSum",
    "SkeletonMultitaskLoss",
    "SudreDiceLoss",
    "VoxelCrossEntropyLoss",
    "WeightedCrossEntropyLoss",
]
