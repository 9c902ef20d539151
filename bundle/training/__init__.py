"""What training needs beside MONAI: the loss, checkpoints, the cache key and the progress bar."""

from bundle.training.cache import file_version_hash
from bundle.training.checkpoint import newest_checkpoint
from bundle.training.loss import MarginalDiceCELoss
from bundle.training.progress import TrainingProgress

__all__ = ["MarginalDiceCELoss", "TrainingProgress", "file_version_hash", "newest_checkpoint"]
