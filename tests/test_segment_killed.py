"""A run that is killed without warning: what is there is whole, and ``--resume`` makes the rest."""

from __future__ import annotations

import json
import multiprocessing
import os
import random
import time
from collections import Counter
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest

from bundle.segmentation import Segmenter, configuration
from bundle.segmentation.command import Options, run
from tests.threshold_pipeline import CONFIG, hu, save

CASES = [f"case_{index}" for index in range(10)]

# Children fork from a process that has imported what takes long, and done nothing.
processes = multiprocessing.get_context("forkserver")
_SLOW_IMPORTS = ["bundle.segmentation.command", "matplotlib.figure", "matplotlib.backends.backend_agg"]
processes.set_forkserver_preload(_SLOW_IMPORTS)


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("killed")
    (path / "inference.json").write_text(json.dumps(CONFIG))
    (path / "scans").mkdir()
    for index, case in enumerate(CASES):
        save(path / "scans" / f"{case}.nii.gz", hu(110 + index))
    return path


def work(folder: Path, output: Path, pages: bool, resume: bool, begun: Any) -> None:
    """Run the command, write a line for every study that is computed, and tell when the first one begins."""
    configuration.CONFIG = folder / "inference.json"
    compute = Segmenter._run

    def counted(self, study, on_stage):
        with output.with_suffix(".log").open("a") as log:
            log.write(f"{study.case}\n")
        begun.set()
        return compute(self, study, on_stage)

    Segmenter._run = counted  # type: ignore[method-assign]
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, 1)
    os.dup2(null, 2)
    os._exit(run([folder / "scans"], Options(output, device="cpu", pages=pages, resume=resume)))


def start(folder: Path, output: Path, pages: bool, resume: bool = False):
    begun = processes.Event()
    process = processes.Process(target=work, args=(folder, output, pages, resume, begun))
    process.start()
    return process, begun


def check_whole(output: Path, pages: bool) -> set[str]:
    """Check that every file with a final name is whole, and return the cases that are finished."""
    finished = set()
    for path in output.glob("*/segmentation.nii.gz"):
        organ = 110 + CASES.index(path.parent.name)
        np.testing.assert_array_equal(np.asanyarray(nib.load(path).dataobj), hu(organ) == organ)
    for path in output.glob("*/overlay.png"):
        assert path.read_bytes().endswith(b"IEND\xaeB`\x82")
    for path in output.glob("*/report.json"):
        report = json.loads(path.read_text())
        if "key" in report:
            finished.add(path.parent.name)
            names = {"segmentation.nii.gz", "report.json"} | ({"overlay.png"} if pages else set())
            assert {name.name for name in path.parent.iterdir() if name.name[0] != "."} == names
    return finished


@pytest.fixture(scope="module")
def seconds(folder) -> dict[bool, float]:
    """How long ten studies take that nobody kills, with and without pages."""
    needed = {}
    for pages in (False, True):
        process, begun = start(folder, folder / f"whole_{pages}", pages)
        assert begun.wait(300)
        started = time.monotonic()
        process.join(300)
        assert process.exitcode == 0
        needed[pages] = time.monotonic() - started
    return needed


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(20))
def test_a_killed_run_is_completed_by_resume(folder, seconds, seed):
    output, pages = folder / f"out_{seed}", seed % 4 == 0
    process, begun = start(folder, output, pages)
    assert begun.wait(300)
    time.sleep(random.Random(seed).uniform(0, seconds[pages]))
    process.kill()
    process.join()
    finished = check_whole(output, pages)

    process, _ = start(folder, output, pages, resume=True)
    process.join(300)
    assert process.exitcode == 0
    assert check_whole(output, pages) == set(CASES)
    assert not list(output.rglob(".*"))
    computed = Counter(output.with_suffix(".log").read_text().split())
    assert set(computed) == set(CASES)
    assert all(computed[case] == 1 for case in finished)
    assert sum(computed.values()) <= len(CASES) + 1  # only the study under way is computed once more
