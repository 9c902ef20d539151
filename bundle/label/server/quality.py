"""Active learning by the predicted Dice: scores for studies, and the choice of the next one."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping
from typing import Any

from monailabel.interfaces.datastore import Datastore
from monailabel.interfaces.tasks.scoring import ScoringMethod
from monailabel.interfaces.tasks.strategy import Strategy

from bundle.label.answer import refusal
from bundle.label.ranking import QUALITY_KEYS, ranked
from bundle.label.server.infer import PancreasInfer

logger = logging.getLogger(__name__)


def known_of(params: Mapping[str, Any], version: int) -> dict[str, Any]:
    """Return what the data store keeps of a study's answer, see :data:`bundle.label.ranking.QUALITY_KEYS`."""
    outcome, dice, scored_with = QUALITY_KEYS
    return {outcome: params.get(outcome), dice: params.get(dice), scored_with: version}


class QualityScoring(ScoringMethod):
    """Segment every study without a label whose score isn't from the present weights, and keep the predicted Dice.

    Args:
        task: what segments.
    """

    def __init__(self, task: PancreasInfer) -> None:
        super().__init__("Predicted Dice of the bundle's own mask")
        self.task = task

    def __call__(self, request: dict[str, Any], datastore: Datastore) -> dict[str, Any]:
        """Return how many studies there are, were skipped and were segmented, and the seconds it took.

        Args:
            request: ``max_samples``, studies to segment, 0 for all; ``device``.
            datastore: with the studies.
        """
        began, version = time.monotonic(), self.task.version_of_weights()
        unlabeled = sorted(datastore.get_unlabeled_images())
        scored_with = QUALITY_KEYS[-1]
        waiting = [name for name in unlabeled if datastore.get_image_info(name).get(scored_with) != version]
        chosen = waiting[: int(request.get("max_samples") or 0) or None]
        for name in chosen:
            datastore.update_image_info(name, known_of(self._score(name, request, datastore), version))
        return {
            "total": len(unlabeled),
            "skipped": len(unlabeled) - len(waiting),
            "executed": len(chosen),
            "latency": round(time.monotonic() - began, 3),
        }

    def _score(self, name: str, request: dict[str, Any], datastore: Datastore) -> dict[str, Any]:
        asked = {"image": datastore.get_image_uri(name), "skip_writer": "true", "logging": "error"}
        if request.get("device"):
            asked["device"] = request["device"]
        try:
            _, data = self.task(asked)
            return self.task.said_of(data)
        except Exception as error:  # one study must not keep the others from being scored
            logger.exception("%s could not be segmented", name)
            return dict(refusal(error)[1])


class LowestQuality(Strategy):
    """The study without a label whose predicted Dice is lowest, see :func:`bundle.label.ranked`."""

    def __init__(self) -> None:
        super().__init__("The study whose mask is probably worst (lowest predicted Dice)")

    def __call__(self, request: dict[str, Any], datastore: Datastore) -> dict[str, Any] | None:
        """Return ``id`` and what is known of the study; None where all have labels."""
        names = datastore.get_unlabeled_images(request.get("label_tag"), request.get("labels"))
        known = {name: datastore.get_image_info(name) for name in names}
        if not known:
            return None
        name = ranked(known)[0]
        return {"id": name, **{key: known[name].get(key) for key in QUALITY_KEYS}}
