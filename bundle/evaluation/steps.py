"""Steps of an experiment: each a run of the bundle in a process of its own, with its log beside its results."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from bundle.errors import bad_input
from bundle.files import make_folder, write_text
from bundle.read.datalist import DATASET_FILE, SECTIONS, load_datalist

BUNDLE_ROOT = Path(__file__).parents[2]
CONFIGS = BUNDLE_ROOT / "configs"

ENDLESS = dict.fromkeys(("max_epochs", "val_interval", "patience"), 10**6)
"""Of a training that ends by the clock: validated once, when its minutes are over and the weights are saved."""

_CLOCKS = {"wall": "of time on the wall", "processor": "of processor time"}


@dataclass(frozen=True)
class Budget:
    """What each training of an experiment gets.

    Args:
        minutes: of training, loading included: processor time of all threads, so that other work on the machine takes
            nothing from it; with a GPU, time on the wall.
        threads: of each process.
        scans: of the training set, drawn by chance with a fixed seed: preparing more would use up a small budget. None
            takes all.
    """

    minutes: float
    threads: int
    scans: int | None = None

    @property
    def clock(self) -> str:
        """What measures the minutes, see :class:`~bundle.training.TimeBudget`."""
        return "wall" if torch.cuda.is_available() else "processor"

    def __str__(self) -> str:
        return f"{self.minutes:g} min ({_CLOCKS[self.clock]})" + (f" on {self.scans} scans" if self.scans else "")


def run_step(run_id: str, files: Sequence[str], overrides: Mapping[str, Any], log: Path, threads: int) -> None:
    """Run ``python -m monai.bundle run RUN_ID`` with these configurations of the bundle; all it says goes to ``log``.

    Raises:
        InputError: it fails; with the last line of its log.
    """
    make_folder(log.parent)
    arguments = log.with_suffix(".json")
    write_text(json.dumps({"config_file": [str(CONFIGS / name) for name in files], **overrides}, indent=4), arguments)
    command = [sys.executable, "-m", "monai.bundle", "run", run_id, "--args_file", str(arguments)]
    environment = os.environ | {"OMP_NUM_THREADS": str(threads), "PYTHONPATH": str(BUNDLE_ROOT)}
    with log.open("a") as stream:
        done = subprocess.run(command, cwd=log.parent, env=environment, stdout=stream, stderr=subprocess.STDOUT)
    if done.returncode != 0:
        last = " ".join(log.read_text(errors="replace").strip().splitlines()[-1:])
        raise bad_input(log, "every step of an experiment succeeds", last, "Read the log, then call it again.")


def score(files: Sequence[str], overrides: Mapping[str, Any], folder: Path, log: Path, threads: int) -> None:
    """Score a cascade into ``folder`` with configs/inference.json, evaluate.json and ``files`` on top.

    Raises:
        InputError: it fails; with the last line of its log.
    """
    settings = {**overrides, "output_dir": str(folder)}
    run_step("run", ["inference.json", "evaluate.json", *files], settings, log, threads)


def is_scored(folder: Path) -> bool:
    """Return whether all scans were scored: an interrupted evaluation leaves the table of the first ones."""
    return (folder / "evaluation.md").is_file()


def draw_training(data: Path, output: Path, count: int, seed: int = 0) -> Path:
    """Write a dataset.json to ``output`` with ``count`` training scans of ``data``, and return its path.

    A smaller count gives a part of the scans of a larger one. One scan is left for validation: nothing depends on its
    score where a training ends by the clock.
    """
    sections = {section: load_datalist(data, section) for section in SECTIONS}
    training = sections["training"]
    chosen = sorted(random.Random(seed).sample(range(len(training)), len(training))[:count])
    sections |= {"training": [training[index] for index in chosen], "validation": sections["validation"][:1]}
    source = data if data.name == DATASET_FILE else data / DATASET_FILE
    drawn = output / DATASET_FILE
    write_text(json.dumps(json.loads(source.read_text()) | sections, indent=4), drawn)
    return drawn


def check_names(option: str, kind: str, names: Iterable[str], known: Collection[str]) -> None:
    """Raise for the first of ``names`` that is not known.

    Raises:
        InputError: it names the option and those that are known.
    """
    for name in names:
        if name not in known:
            raise bad_input(option, f"a {kind} is one of {', '.join(known)}", name, "Correct the name.")


def silent(step: str) -> None:
    """Tell nobody which step begins."""
