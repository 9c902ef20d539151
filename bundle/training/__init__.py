"""What training needs beside MONAI: random patches, resuming, the cache key and the progress bar."""

from bundle.training.cache import file_version_hash
from bundle.training.patch import RandPatchd
from bundle.training.progress import TrainingProgress
from bundle.training.resume import Resume
from bundle.training.target import TargetMaskd
from bundle.training.time_budget import TimeBudget

__all__ = ["RandPatchd", "Resume", "TargetMaskd", "TimeBudget", "TrainingProgress", "file_version_hash"]
