"""The segmenter, fine-tuned in one way or another, and the cascade with it scored."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from monai.bundle import ConfigParser

from bundle.evaluation.steps import BUNDLE_ROOT, CONFIGS, ENDLESS, Budget, is_scored, run_step, score
from bundle.evaluation.tables import Row, read_table
from bundle.files import write_text

SHIPPED = BUNDLE_ROOT / "models" / "model.pt"


@dataclass(frozen=True)
class FineTuning:
    """One way to go on from given weights.

    Args:
        name: what it is called where the steps are told.
        folder: of its weights, logs and scores.
        data: Medical Decathlon folder, or dataset.json, to train on; None keeps the weights as they are.
        budget: of the training.
        learning_rate: at first, falling to 0.
        files: of the bundle's configs, overlays on train.json.
        overlay: one more, what it would hold.
        cache: folder of loaded scans, which several ways may share.
        start: weights to begin with.
    """

    name: str
    folder: Path
    data: Path | None
    budget: Budget
    learning_rate: float
    files: Sequence[str] = ()
    overlay: Mapping[str, Any] = field(default_factory=dict)
    cache: Path | None = None
    start: Path = SHIPPED


def fine_tuned(way: FineTuning, on_step: Callable[[str], None]) -> Path:
    """Return the path of the weights, trained if they are not there; an interrupted training goes on where it was.

    Raises:
        InputError: the training fails.
    """
    if way.data is None:
        return way.start
    weights = way.folder / "models" / "model.pt"
    if not weights.is_file():
        overlay = way.folder / "overlay.json"
        write_text(json.dumps(way.overlay, indent=4), overlay)
        files = ["train.json", *way.files, str(overlay)]
        training = ENDLESS | {"bundle_root": str(BUNDLE_ROOT), "dataset_dir": str(way.data), "num_workers": 0}
        training |= {"checkpoint": str(way.start), "learning_rate": way.learning_rate, "ckpt_dir": str(weights.parent)}
        training |= {"output_dir": str(way.folder / "training")}
        training |= {"max_minutes": way.budget.minutes, "minutes_of": way.budget.clock}
        if way.cache is not None:
            training |= {"cache_dir": str(way.cache)}
            on_step(f"{way.name}: load the scans")
            _load_scans(files, training)
        on_step(f"{way.name}: fine-tune")
        run_step("training", files, training, way.folder / "train.log", way.budget.threads)
    return weights


def scored(
    way: FineTuning, weights: Path, data: Path, on_step: Callable[[str], None], section: str = "test"
) -> list[Row]:
    """Return the rows of ``cases.csv`` of the cascade with these weights, scored if they are not there.

    Raises:
        InputError: the scoring fails.
    """
    evaluation = way.folder / "evaluation"
    if not is_scored(evaluation):
        on_step(f"{way.name}: score")
        settings = {"bundle_root": str(BUNDLE_ROOT), "dataset_dir": str(data), "section": section}
        score([], settings | {"checkpoint": str(weights)}, evaluation, way.folder / "evaluate.log", way.budget.threads)
    return list(read_table(evaluation / "cases.csv"))


def _load_scans(files: Sequence[str], settings: Mapping[str, Any]) -> None:
    """Fill the cache before the clock runs: the first of several ways must not pay for all."""
    config = ConfigParser()
    config.read_config([str(CONFIGS / name) for name in files])
    config.update(dict(settings))
    for scan in config.get_parsed_content("train#dataset"):
        del scan
