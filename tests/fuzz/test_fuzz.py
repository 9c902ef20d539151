"""The smaller sibling of `make fuzz`: as many odd inputs as a test run has time for."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from tests.fuzz.cases import make
from tests.fuzz.worker import BATCH, Worker, command

SEED = int(os.environ.get("FUZZ_SEED", "1"))
COUNT = int(os.environ.get("FUZZ_COUNT", "2000"))
SHARD = 10 * BATCH

pytestmark = pytest.mark.fuzz


@pytest.fixture(scope="session")
def worker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Worker]:
    with Worker(SEED, tmp_path_factory.mktemp("kept")) as started:
        yield started


@pytest.mark.parametrize("first", range(0, COUNT, SHARD))
def test_odd_inputs_end_in_an_outcome_or_one_line(worker, first):
    end = min(first + SHARD, COUNT)
    defects = [d for start in range(first, end, BATCH) for d in worker.run(range(start, min(start + BATCH, end)))]
    assert not defects, "\n".join(f"{d.what}\n  {d.problem}\n  {command(SEED, d.numbers)}" for d in defects)


@pytest.mark.parametrize("number", range(30))
def test_a_number_always_stands_for_the_same_input(tmp_path, number):
    contents = []
    for folder in (tmp_path / "a", tmp_path / "b"):
        folder.mkdir()
        case = make(SEED, number, folder)
        files = sorted(path for path in folder.rglob("*") if path.is_file() and path.is_relative_to(folder.resolve()))
        contents.append((case.what, [(path.relative_to(folder), path.read_bytes()) for path in files]))
    assert contents[0] == contents[1]


def test_an_input_that_takes_the_process_along_is_a_defect(tmp_path, monkeypatch):
    monkeypatch.setattr("tests.fuzz.worker.SECONDS", 0.0)
    with Worker(SEED) as impatient:
        (defect,) = impatient.run([0])
    assert defect.problem == "no end after 0 seconds"
