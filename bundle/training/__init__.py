"""What training needs beside MONAI: random patches, targets, resuming, the cache key and the progress bar."""

from bundle.training.bspline import RandBSplineDeformd
from bundle.training.cache import file_version_hash
from bundle.training.cached_scans import CachedScans
from bundle.training.candidate_region import BodyRegiond, FirstStageRegiond, OutsideIsBackgroundd
from bundle.training.class_shift import RandClassShiftd
from bundle.training.finite_loss import FiniteLoss
from bundle.training.first_stage import FirstStageMasks
from bundle.training.fixed_region import CropFixedAroundLabeld, RandCropFixedAroundLabeld
from bundle.training.growth import Growth
from bundle.training.patch import RandPatchd
from bundle.training.progress import TrainingProgress
from bundle.training.real_slices import RealSlices
from bundle.training.rendered import RenderedPatches
from bundle.training.resume import Resume
from bundle.training.schedule import LossSchedule
from bundle.training.skeleton import SkeletonTargetd
from bundle.training.symmetry import RandCubeSymmetryd
from bundle.training.target import TargetMaskd
from bundle.training.target_patch import RandTargetPatchd
from bundle.training.time_budget import TimeBudget
from bundle.training.whole_volume import RandWholeVolumed

__all__ = [
    "BodyRegiond",
    "CachedScans",
    "CropFixedAroundLabeld",
    "FiniteLoss",
    "FirstStageMasks",
    "FirstStageRegiond",
    "Growth",
    "LossSchedule",
    "OutsideIsBackgroundd",
    "RandBSplineDeformd",
    "RandClassShiftd",
    "RandCropFixedAroundLabeld",
    "RandCubeSymmetryd",
    "RandPatchd",
    "RandTargetPatchd",
    "RandWholeVolumed",
    "RealSlices",
    "RenderedPatches",
    "Resume",
    "SkeletonTargetd",
    "TargetMaskd",
    "TimeBudget",
    "TrainingProgress",
    "file_version_hash",
]
