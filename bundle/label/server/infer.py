"""The bundle's inference in MONAI Label: which weights it may take, which label it gives, what it says of a study."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from monai.bundle import ConfigParser
from monailabel.tasks.infer.bundle import BundleConstants, BundleInferTask

from bundle.assess import ASSESSMENT_KEY
from bundle.label.answer import answer
from bundle.label.app import SHIPPED, WEIGHTS
from bundle.label.choice import choice_of
from bundle.write.report import case_report

LABELS = {"pancreas": 1}

DEFAULT = "default"


class PancreasInfer(BundleInferTask):
    """The stock task for bundles, with the outcome in the answer's ``params``.

    Args:
        path: the bundle's root.
        conf: of the app.
        system: ``default``, or NAME of ``configs/system_NAME.json``.
        **kwargs: of the stock task.
    """

    def __init__(self, path: str, conf: dict[str, str], system: str = DEFAULT, **kwargs: Any) -> None:
        self.system = system
        super().__init__(path, conf, const=_Weights(system), load_strict=True, **kwargs)
        # The network has more classes than the mask, and models/ more networks than those that segment.
        self.labels = dict(LABELS)
        names = [WEIGHTS, SHIPPED] if system == DEFAULT else [self.const.model_pytorch()]
        self._config["model_filename"] = [name for name in names if (Path(path) / "models" / name).is_file()]

    def version_of_weights(self) -> int:
        """Return when the weights changed, in nanoseconds: what tells an old score from a new one."""
        return os.stat(self.get_path()).st_mtime_ns

    def said_of(self, data: Mapping[Any, Any]) -> dict[str, Any]:
        """Return what the client is told beside the mask, from the data after postprocessing."""
        name = choice_of(data.get("model_filename") or Path(self.get_path()).name)
        weights, said = Path(self.bundle_path) / "models" / name, data.get(ASSESSMENT_KEY)
        report = case_report("", data[self.key_pred], data[self.key_image], self.system, [weights], said)
        return answer(report)

    def writer(self, data: dict[str, Any], extension: Any = None, dtype: Any = None) -> tuple[Any, Any]:
        """Write the mask as the stock task does, and add what is said of the study."""
        data[self.output_json_key] = {**data.get(self.output_json_key, {}), **self.said_of(data)}
        return super().writer(data, extension, dtype)

    def _load_bundle_config(self, path: str, config: str) -> ConfigParser:
        parser = ConfigParser()
        overlays = [] if self.system == DEFAULT else [os.path.join(path, "configs", f"system_{self.system}.json")]
        parser.read_config([config, *overlays])
        parser[self.const.key_bundle_root()] = path
        return parser


class _Weights(BundleConstants):
    """The names that the stock task looks for, with the weights of a system."""

    def __init__(self, system: str) -> None:
        self.system = system

    def model_pytorch(self) -> str:
        return WEIGHTS if self.system == DEFAULT else f"model_{self.system}.pt"
