"""A process with little memory and little time that tries inputs, and whoever starts another one when it dies."""

from __future__ import annotations

import json
import logging
import multiprocessing
import os
import shutil
import subprocess
import tempfile
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

BATCH = 10
"""Inputs that share one run of the command: an input must not disturb its neighbours, and starting costs time."""

PAGES_EVERY = 100
"""One batch in so many is run with pictures and pages, which take most of the time where they are made."""

SECONDS = 90.0
"""For one run of the command with a batch of inputs; decoding a damaged JPEG may take 44 of them."""

MEMORY_BYTES = 2 * 1024**3
"""Address space that a worker may take beyond what it has when everything is imported."""


@dataclass(frozen=True)
class Defect:
    """Something that the command owed its user.

    Attributes:
        numbers: of the inputs that were given together.
        what: was done to them.
        problem: what happened instead.
    """

    numbers: tuple[int, ...]
    what: str
    problem: str


class Worker:
    """One process, started anew when it hangs or dies.

    Args:
        seed: of the list of inputs.
        keep: folder for inputs that bring a defect to light; None keeps none.
    """

    def __init__(self, seed: int, keep: Path | None = None) -> None:
        self.seed = seed
        self.keep = keep
        self._process: Any = None
        self._pipe: Any = None
        self._scratch = ""

    def __enter__(self) -> Worker:
        return self

    def __exit__(self, *_: object) -> None:
        self._stop()

    def run(self, numbers: Sequence[int], pages: bool | None = None) -> list[Defect]:
        """Return the defects of a batch, told apart by trying its inputs one by one where there are any.

        Args:
            numbers: of the inputs.
            pages: with pages; by default in one batch of :data:`PAGES_EVERY`.
        """
        pages = (numbers[0] // BATCH) % PAGES_EVERY == 0 if pages is None else pages
        defects = self._try(numbers, pages)
        if not defects or len(numbers) == 1:
            return defects
        alone = [defect for number in numbers for defect in self._try([number], pages)]
        return alone or defects

    def _try(self, numbers: Sequence[int], pages: bool) -> list[Defect]:
        folder = Path(tempfile.mkdtemp(prefix=f"fuzz_{self.seed}_{numbers[0]}_"))
        try:
            what, problems = self._answer(numbers, folder, pages)
            if problems and self.keep is not None:
                kept = self.keep / f"seed{self.seed}_{numbers[0]:06d}{'' if len(numbers) == 1 else '_batch'}"
                subprocess.run(["rm", "-rf", kept], check=True)
                shutil.copytree(folder, kept, symlinks=True, copy_function=_copy)
            return [Defect(tuple(numbers), what, problem) for problem in problems]
        finally:
            subprocess.run(["rm", "-rf", folder], check=True)

    def _answer(self, numbers: Sequence[int], folder: Path, pages: bool) -> tuple[str, list[str]]:
        if self._process is None:
            self._start()
        self._pipe.send((self.seed, list(numbers), str(folder), pages))
        try:
            if self._pipe.poll(SECONDS):
                return self._pipe.recv()
            problem = f"no end after {SECONDS:g} seconds"
        except (EOFError, ConnectionError):
            self._process.join(10)
            problem = f"the process died, exit code {self._process.exitcode}"
        self._stop()
        told = folder / "what.json"
        return (json.loads(told.read_text()) if told.is_file() else "?"), [problem]

    def _start(self) -> None:
        context = multiprocessing.get_context("spawn")
        self._pipe, theirs = context.Pipe()
        self._scratch = tempfile.mkdtemp(prefix="fuzz_worker_")
        self._process = context.Process(target=_work, args=(theirs, self._scratch), daemon=True)
        self._process.start()
        theirs.close()
        assert self._pipe.poll(600) and self._pipe.recv() == "ready"

    def _stop(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.join()
            self._pipe.close()
            subprocess.run(["rm", "-rf", self._scratch], check=True)
        self._process = None


def batches(count: int) -> Iterator[range]:
    """Yield the numbers below ``count`` in batches."""
    for start in range(0, count, BATCH):
        yield range(start, min(start + BATCH, count))


def command(seed: int, numbers: Sequence[int]) -> str:
    """Return the command that tries these inputs again."""
    return f"python -m tests.fuzz --seed {seed} --first {numbers[0]} --count {len(numbers)}"


def _work(pipe: Any, scratch: str) -> None:
    """Answer batches until killed; ``scratch`` is the temporary folder of whatever runs here."""
    os.environ |= {"OMP_NUM_THREADS": "1", "ITK_GLOBAL_DEFAULT_NUMBER_OF_THREADS": "1"}
    os.environ["TMPDIR"] = tempfile.tempdir = scratch
    logging.getLogger("nibabel").setLevel(logging.CRITICAL)
    from bundle.segmentation import configuration
    from tests.fuzz import cases, oracle, stand_in

    configuration.CONFIG = Path(scratch) / "inference.json"
    configuration.CONFIG.write_text(json.dumps(stand_in.pipeline()))
    _limit_memory(oracle, Path(scratch))
    pipe.send("ready")
    while True:
        seed, numbers, folder, pages = pipe.recv()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # pydicom's, on values that no standard allows
            made = [cases.make(seed, number, Path(folder)) for number in numbers]
        what = " || ".join(f"{case.number}: {case.what}" for case in made)
        (Path(folder) / "what.json").write_text(json.dumps(what))
        problems = oracle.defects(made, Path(folder), pages)
        left = [path.name for path in Path(scratch).iterdir() if path != configuration.CONFIG]
        problems += [f"left in the temporary folder: {left}"] if left else []
        for name in left:
            shutil.rmtree(Path(scratch) / name, ignore_errors=True)
        pipe.send((what, problems))


def _limit_memory(oracle: Any, scratch: Path) -> None:
    """Load what a run loads, so that the limit is on what inputs make it take."""
    import resource

    warm = scratch / "warm"
    warm.mkdir()
    found = oracle.defects([], warm, True)
    assert not found, found
    shutil.rmtree(warm)
    pages = int(Path("/proc/self/statm").read_text().split()[0]) if Path("/proc/self/statm").exists() else 0
    used = pages * os.sysconf("SC_PAGE_SIZE") if pages else 8 * 1024**3
    resource.setrlimit(resource.RLIMIT_AS, (used + MEMORY_BYTES, resource.RLIM_INFINITY))


def _copy(source: str, target: str) -> None:
    if os.path.islink(source) or os.path.isfile(source):
        shutil.copy2(source, target, follow_symlinks=False)
