"""What the bundle adds to MONAI Label's stock app for bundles."""

from __future__ import annotations

import logging
import os
import shutil
from pathlib import Path
from typing import Any

from fastapi import HTTPException
from monailabel.datastore.local import LocalDatastore
from monailabel.interfaces.tasks.infer_v2 import InferTask, InferType
from monailabel.interfaces.tasks.scoring import ScoringMethod
from monailabel.interfaces.tasks.strategy import Strategy
from monailabel.interfaces.tasks.train import TrainTask
from monailabel.tasks.activelearning.epistemic import Epistemic

from bundle.errors import bad_input, input_error
from bundle.label.answer import refusal
from bundle.label.server.infer import PancreasInfer
from bundle.label.server.pacs import PancreasPacs
from bundle.label.server.quality import LowestQuality, QualityScoring, known_of
from bundle.label.server.train import PancreasTrain
from bundle.write.report import INVALID_INPUT

logger = logging.getLogger(__name__)

CLICKS = "pancreas_clicks"
QUALITY, EPISTEMIC = "quality", "epistemic"

_CONVERTER = "itkimage2segimage"


class Additions:
    """Mixin over the stock app ``monaibundle.MyApp``.

    - Beside the bundle's own system, those published systems are models whose weights are there, and
      ``pancreas_clicks`` is the same for the point tools of the clients.
    - Training changes weights only for the better, see :class:`~bundle.label.server.train.PancreasTrain`.
    - ``quality`` proposes the study whose predicted Dice is lowest; ``epistemic`` the one where dropout changes most.
    - Nothing is downloaded.
    """

    def init_infers(self: Any) -> dict[str, InferTask]:
        """Return the models that the clients offer, by name; the bundle's own first."""
        infers: dict[str, InferTask] = {}
        for name, path in self.models.items():
            infers[name] = PancreasInfer(path, self.conf)
            infers[CLICKS] = PancreasInfer(path, self.conf, type=InferType.DEEPGROW)
            for system in _systems_with_weights(Path(path)):
                infers[f"pancreas_{system}"] = PancreasInfer(path, self.conf, system=system)
        return infers

    def init_trainers(self: Any) -> dict[str, TrainTask]:
        """Return what can be trained: the segmenter of the bundle's own system."""
        return {name: PancreasTrain(path, self.conf) for name, path in self.models.items()}

    def init_strategies(self: Any) -> dict[str, Strategy]:
        """Return the ways to choose the next study: by quality, by dropout, and those of the stock app."""
        return {QUALITY: LowestQuality(), EPISTEMIC: Epistemic(), **super().init_strategies()}  # type: ignore[misc]

    def init_scoring_methods(self: Any) -> dict[str, ScoringMethod]:
        """Return what gives studies the scores that strategies go by; by name of the strategy."""
        stock = super().init_scoring_methods()  # type: ignore[misc]
        methods: dict[str, ScoringMethod] = {QUALITY: QualityScoring(self._own_infer())}
        methods.update(zip([EPISTEMIC], stock.values()))  # the stock app names it as the model
        return methods

    def infer(self: Any, request: dict[str, Any], datastore: Any = None) -> dict[str, Any]:
        """Segment a study, and remember the outcome and the predicted Dice with it.

        Raises:
            HTTPException: 404, no such study in the folder.
        """
        store = datastore or self.datastore()
        image = request.get("image")
        in_store = isinstance(image, str) and not os.path.exists(image)
        if in_store and isinstance(store, LocalDatastore) and not store.get_image_uri(image):
            error = bad_input(image, "the study is there", "no such name", "GET /datastore/?output=all lists them.")
            raise HTTPException(404, {"outcome": INVALID_INPUT, "reason": str(error)})
        task = self._infers.get(request.get("model"))
        keeps = in_store and task is self._own_infer()
        try:
            result = super().infer(request, datastore)  # type: ignore[misc]
        except Exception as error:
            if keeps and input_error(error):
                store.update_image_info(image, known_of(refusal(error)[1], task.version_of_weights()))
            raise
        if keeps:
            store.update_image_info(image, known_of(result["params"], task.version_of_weights()))
        return result

    def _init_dicomweb_datastore(self: Any) -> PancreasPacs:
        """Return MONAI Label's DICOMweb store, saving labels in our way."""
        store = super()._init_dicomweb_datastore()  # type: ignore[misc]
        store.__class__ = PancreasPacs  # it adds no state
        return store

    def _own_infer(self: Any) -> PancreasInfer:
        """Return the model whose predicted Dice ranks the studies: the bundle's own system, without clicks."""
        return self._infers[next(iter(self.models))]

    def _download_dcmqi_tools(self: Any) -> None:
        """Say that DICOM SEG can't be written where the program for it is missing; the stock app would download it."""
        if shutil.which(_CONVERTER) is None:
            logger.warning("%s is not on the PATH: labels can't be saved to a PACS. Install dcmqi.", _CONVERTER)


def _systems_with_weights(root: Path) -> list[str]:
    """Return the published systems in ``configs`` whose segmenter is in ``models``."""
    names = [path.stem.removeprefix("system_") for path in sorted((root / "configs").glob("system_*.json"))]
    return [name for name in names if (root / "models" / f"model_{name}.pt").is_file()]
