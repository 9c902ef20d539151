"""``python -m tests.fuzz``: try inputs by the thousand and say how to repeat those that bring a defect to light."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from queue import SimpleQueue

from tests.fuzz.worker import BATCH, Defect, Worker, command


def main(arguments: Sequence[str] | None = None) -> int:
    """Return 0 if no defect was found, else 1."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("--seed", type=int, default=1, help="of the list of inputs")
    parser.add_argument("--count", type=int, default=10000, help="how many of them")
    parser.add_argument("--first", type=int, default=0, help="number of the first")
    parser.add_argument("--workers", type=int, default=2, help="processes")
    parser.add_argument("--keep", type=Path, default=Path("output/fuzz"), help="folder for inputs that show a defect")
    options = parser.parse_args(arguments)
    started, end = time.monotonic(), options.first + options.count
    work = [range(start, min(start + BATCH, end)) for start in range(options.first, end, BATCH)]
    found: list[Defect] = []
    workers: SimpleQueue[Worker] = SimpleQueue()
    for _ in range(min(options.workers, len(work))):
        workers.put(Worker(options.seed, options.keep))

    def attempt(numbers: range) -> list[Defect]:
        worker = workers.get()
        try:
            return worker.run(numbers)
        finally:
            workers.put(worker)

    with ThreadPoolExecutor(workers.qsize()) as pool:
        for done, defects in enumerate(pool.map(attempt, work), start=1):
            for defect in defects:
                again = command(options.seed, defect.numbers)
                print(f"\n{defect.what[:400]}\n  {defect.problem}\n  {again}", flush=True)
            found += defects
            if done % 20 == 0 or done == len(work):
                seconds = time.monotonic() - started
                print(f"{min(done * BATCH, options.count)} inputs, {len(found)} defects, {seconds:.0f} s", flush=True)
    while not workers.empty():
        workers.get().__exit__()
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
