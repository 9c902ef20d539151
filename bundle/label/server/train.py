"""Training on the labels that were saved in MONAI Label, with ``configs/train.json``."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import SimpleITK as sitk
from monailabel.interfaces.datastore import Datastore
from monailabel.tasks.train.bundle import BundleTrainTask

from bundle.errors import bad_input
from bundle.files import replacing
from bundle.label.app import SHIPPED, WEIGHTS
from bundle.label.server.infer import LABELS
from bundle.label.split import training_and_validation
from bundle.networks.weights import publish_weights
from bundle.read.nifti import is_nifti

logger = logging.getLogger(__name__)

LEARNING_RATE = 3e-4
"""A third of that of ``train.json``, which begins with random weights."""

_RESUME = "bundle.training.Resume"
_VALIDATION = "ValidationHandler"


class PancreasTrain(BundleTrainTask):
    """The stock task for bundles, made to train again and again on few labels.

    - The starting weights are validated first: ``model.pt`` changes only where an epoch was better on the validation
      labels. ``model_shipped.pt`` is what came with the bundle.
    - A training begins anew and does not go on with the last one; the learning rate falls over its own epochs.
    - Only the pancreas counts as annotated: what else the network knows is neither learned nor punished.
    """

    def config(self) -> dict[str, Any]:
        """Return what a client can choose, with the defaults."""
        weights = [name for name in (WEIGHTS, SHIPPED) if (self._models / name).is_file()]
        return {**super().config(), "model_filename": weights, "learning_rate": LEARNING_RATE, "max_minutes": 0}

    def __call__(self, request: dict[str, Any], datastore: Datastore) -> dict[str, Any]:
        """Train, and replace ``model.pt`` by the best weights; half precision, as it was shipped.

        Args:
            request: the stock task's, and ``learning_rate``, ``max_minutes`` (0: as many epochs as asked for).
            datastore: with the labels.
        """
        self._request = request
        best = self._output / WEIGHTS
        best.unlink(missing_ok=True)
        result = super().__call__(request, datastore)
        if not best.is_file():
            raise RuntimeError("the training ended without weights; its log says why")
        publish_weights([best], self._models / WEIGHTS)
        return dict(result)

    @property
    def _models(self) -> Path:
        return Path(self.bundle_path) / "models"

    @property
    def _output(self) -> Path:
        return Path(self.bundle_path) / "output" / "trained"

    def _fetch_datalist(self, request: dict[str, Any], datastore: Datastore) -> list[dict[str, str]]:
        """Return scan and label of each study, labels of other formats converted to NIfTI."""
        pairs = super()._fetch_datalist(request, datastore)
        if not pairs:
            raise bad_input("training", "there is a label to train on", "none", "Submit one first.")
        return [{**pair, "label": self._as_nifti(Path(pair["label"]), pair["image"])} for pair in pairs]

    def _as_nifti(self, label: Path, image: str) -> str:
        """Return the label as a NIfTI file on the grid of its scan: a PACS gives back a NRRD file of another extent."""
        if is_nifti(label):
            return str(label)
        target = self._output / "labels" / f"{label.name.split('.')[0]}.nii.gz"
        given, scan = sitk.ReadImage(str(label)), sitk.ReadImage(image)
        on_scan = sitk.Resample(given, scan, sitk.Transform(), sitk.sitkNearestNeighbor, 0, sitk.sitkUInt8)
        with replacing(target) as temporary:
            sitk.WriteImage(on_scan, str(temporary))
        return str(target)

    def _partition_datalist(
        self, datalist: list[dict[str, str]], request: dict[str, Any], shuffle: bool = False
    ) -> tuple[list[dict[str, str]], list[dict[str, str]]]:
        """Return training and validation, see :func:`bundle.label.split.training_and_validation`."""
        training, validation = training_and_validation(datalist, float(request.get("val_split", 0.2)))
        logger.info("%d labels: %d to train on, %d choose the epoch", len(datalist), len(training), len(validation))
        return training, validation

    def _load_checkpoint(self, model_pytorch: str, pretrained: bool, train_handlers: list[dict[str, Any]]) -> None:
        if pretrained:  # the stock task fails without
            super()._load_checkpoint(model_pytorch, pretrained, train_handlers)

    def _update_overrides(self, overrides: dict[str, Any]) -> dict[str, Any]:
        epochs = int(overrides[self.const.key_train_trainer_max_epochs()])
        overrides[self.const.key_train_handlers()] = [
            {**handler, "exec_at_start": True} if handler.get("_target_") == _VALIDATION else handler
            for handler in overrides[self.const.key_train_handlers()]
            if handler.get("_target_") != _RESUME
        ]
        overrides |= {
            "output_dir": str(self._output),
            "ckpt_dir": str(self._output),
            "label_values": {"0": "background", **{str(value): name for name, value in LABELS.items()}},
            "max_epochs": epochs,
            "max_minutes": float(self._request.get("max_minutes") or 0) or None,
            "val_interval": max(1, min(5, epochs // 2)),
            "learning_rate": float(self._request.get("learning_rate") or LEARNING_RATE),
            "num_workers": 0,
        }
        return overrides
