"""Stand-in for the processes of an experiment, which would train and score for minutes."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest
import torch

from bundle.evaluation import steps

Arguments = dict[str, Any]


def take_steps(
    monkeypatch: pytest.MonkeyPatch,
    dice: Callable[[Arguments], Iterable[float]],
    on_training: Callable[[Arguments], Any] = lambda arguments: None,
) -> list[Arguments]:
    """Take every step from now on and return the list that their arguments come into, one after the other.

    Args:
        monkeypatch: pytest's.
        dice: what a scoring finds, one number for each scan.
        on_training: called before the weights are there.
    """
    taken: list[Arguments] = []

    def run(command: list[str], **settings: Any) -> subprocess.CompletedProcess:
        arguments = json.loads(Path(command[-1]).read_text())
        taken.append(arguments)
        if command[4] == "training":
            on_training(arguments)
            Path(arguments["ckpt_dir"]).mkdir(parents=True)
            torch.save({"weight": torch.zeros(1)}, Path(arguments["ckpt_dir"]) / "model.pt")
        else:
            folder = Path(arguments["output_dir"])
            folder.mkdir(parents=True)
            lines = [f"{case},fine,ok,50,{value}" for case, value in enumerate(dice(arguments))]
            (folder / "cases.csv").write_text("\n".join(["case,stage,outcome,label_volume_ml,dice", *lines]) + "\n")
            (folder / "evaluation.md").touch()
        return subprocess.CompletedProcess(command, 0)

    monkeypatch.setattr(steps.subprocess, "run", run)
    return taken
