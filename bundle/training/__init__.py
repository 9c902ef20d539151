"""What training needs beside MONAI: the loss, resuming, the cache key and the progress bar."""

from bundle.training.cache import file_version_hash
from bundle.training.loss import MarginalDiceCELoss
from bundle.training.progress import TrainingProgress
from bundle.training.resume import Resume
from bundle.training.target import TargetMaskd

__all__ = ["MarginalDiceCELoss", "Resume", "TargetMaskd", "TrainingProgress", "file_version_hash"]
