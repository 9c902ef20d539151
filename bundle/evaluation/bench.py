"""What the whole job costs on a large scan, against the segmenter slid over all of it and against the arithmetic."""

from __future__ import annotations

import json
import multiprocessing
import platform
import subprocess
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich.table import Table

from bundle.errors import bad_input
from bundle.evaluation.flops import matrix_rate
from bundle.evaluation.show import drawn
from bundle.files import make_folder, write_nifti
from bundle.rendering.renderer import render_scan
from bundle.rendering.scanner import PADDING_HU, ScannerSettings

BUNDLE_ROOT = Path(__file__).parents[2]
SPACING_MM = (0.75, 0.75, 1.0)
SEED = 0

NETWORK_STEPS = ("localize", "segment", "second_look")
"""Steps of a cascade's report in which a network runs."""


@dataclass(frozen=True)
class BenchResult:
    """What was measured.

    Args:
        shape: of the scan.
        cascade: cost of the job, as :func:`bundle.evaluation.bench_job.measure` returns it.
        whole_scan: cost of the segmenter slid over the whole scan, None if left out.
        rates: operations per second of a large matrix product, by dtype, on the device of the job.
    """

    shape: tuple[int, int, int]
    cascade: dict[str, Any]
    whole_scan: dict[str, Any] | None
    rates: dict[str, float]

    def limit_seconds(self, cost: dict[str, Any]) -> float:
        """Return how long the operations of a job take at the matrix rate of the dtype it used."""
        return sum(cost["flops"].values()) / self.rates[cost["dtype"]]


def run_bench(config: Path, shape: tuple[int, int, int], folder: Path, with_whole_scan: bool = True) -> BenchResult:
    """Render a scan into ``folder``, measure each job on it in a fresh process, and the machine's matrix rates."""
    scan = folder / "scan.nii.gz"
    # In a process of its own, so that the memory it takes is free again when the jobs are measured.
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        pool.submit(write_bench_scan, scan, shape).result()
    cascade = run_job(config, scan, folder / "cascade")
    whole_scan = run_job(config, scan, folder / "whole_scan", whole_scan=True) if with_whole_scan else None
    device = torch.device(cascade["device"])
    rates = {name: matrix_rate(device, getattr(torch, name)) for name in ("bfloat16", "float32")}
    return BenchResult(shape, cascade, whole_scan, rates)


def write_bench_scan(path: Path, shape: Sequence[int]) -> None:
    """Render a procedural body at :data:`SPACING_MM` and write it, cut or filled up with air to ``shape``."""
    settings = ScannerSettings(
        in_plane_spacing_mm=SPACING_MM[:2],
        slice_thickness_mm=(SPACING_MM[2], SPACING_MM[2]),
        share_overlapping=0.0,
        share_slab=0.0,
        share_lateral_crop=0.0,
        orientations=("LPS",),
    )
    scan = render_scan(None, SEED, settings)
    write_nifti(fit_to_shape(scan.image_hu, shape), scan.affine, path)


def fit_to_shape(image_hu: np.ndarray, shape: Sequence[int]) -> np.ndarray:
    """Return the middle of ``image_hu`` (X, Y, Z), cut or filled up with the scanner's padding value to ``shape``."""
    fitted = np.full(shape, PADDING_HU, dtype=image_hu.dtype)
    inner, outer = [], []
    for have, want in zip(image_hu.shape, shape, strict=True):
        size = min(have, want)
        inner.append(slice((have - size) // 2, (have - size) // 2 + size))
        outer.append(slice((want - size) // 2, (want - size) // 2 + size))
    fitted[tuple(outer)] = image_hu[tuple(inner)]
    return fitted


def run_job(config: Path, scan: Path, output: Path, whole_scan: bool = False) -> dict[str, Any]:
    """Run :mod:`bundle.evaluation.bench_job` in a fresh process and return what it measured.

    Raises:
        InputError: if the job fails, with the last line it wrote.
    """
    make_folder(output)
    result = output / "cost.json"
    paths = [str(path.resolve()) for path in (config, scan, output, result)]
    options = ["--whole-scan"] if whole_scan else []
    command = [sys.executable, "-m", "bundle.evaluation.bench_job", *paths, *options, "--started", str(time.time())]
    finished = subprocess.run(command, cwd=BUNDLE_ROOT, capture_output=True, text=True, check=False)
    if finished.returncode:
        last_line = (finished.stderr.strip().splitlines() or ["nothing"])[-1]
        raise bad_input(config, "the inference workflow runs", last_line, "Try it with `python -m bundle segment`.")
    return json.loads(result.read_text())


def bench_tables(result: BenchResult) -> list[Table]:
    """Return the measurement as rich tables: seconds by step, then totals against each other and the arithmetic."""
    jobs = {"cascade": result.cascade} | ({"segmenter over all": result.whole_scan} if result.whole_scan else {})
    steps = Table("step", *(f"{name}, s" for name in jobs), title="Seconds by step")
    for step in dict.fromkeys(step for cost in jobs.values() for step in cost["seconds"]):
        steps.add_row(step, *(_seconds(cost["seconds"].get(step)) for cost in jobs.values()))
    steps.add_row("total", *(_seconds(cost["seconds_total"]) for cost in jobs.values()))
    totals = Table("", *jobs, title="Totals")
    columns = [_totals(result, cost) for cost in jobs.values()]
    for name in columns[0]:
        totals.add_row(name, *(column[name] for column in columns))
    return [steps, totals]


def bench_page(result: BenchResult) -> str:
    """Return the measurement as a page for the documentation."""
    x, y, z = result.shape
    cost = result.cascade
    rates = ", ".join(f"{name} {rate / 1e9:.0f} GFLOP/s" for name, rate in result.rates.items())
    return f"""# What the whole job costs

One rendered scan of {x} × {y} × {z} voxels, from the file to the mask on disk on the scan's own grid, each job in a
fresh process, the start of Python included. Made by `make bench` on {_machine(cost)}, PyTorch {torch.__version__}.

```
{drawn(bench_tables(result)).rstrip()}
```

The arithmetic limit is the time that the networks' convolutions and matrix products would take, for the windows
actually used, at the rate of a large matrix product on the same machine ({rates}).
Reading, resampling and writing are not in it.
"""


def _totals(result: BenchResult, cost: dict[str, Any]) -> dict[str, str]:
    """One column of the table of totals, by the name of its row."""
    limit = result.limit_seconds(cost)
    in_networks = sum(cost["seconds"].get(step, 0.0) for step in NETWORK_STEPS)
    return {
        "seconds": _seconds(cost["seconds_total"]),
        "against the cascade": f"{cost['seconds_total'] / result.cascade['seconds_total']:.1f} ×",
        "peak memory, MB": f"{cost['peak_memory_mb']:.0f}",
        "peak GPU memory, MB": f"{cost['peak_gpu_memory_mb']:.0f}",
        "outcome": cost["outcome"],
        "windows": ", ".join(f"{name} {count}" for name, count in cost["windows"].items()),
        "TFLOP": f"{sum(cost['flops'].values()) / 1e12:.2f}",
        f"arithmetic limit ({cost['dtype']}), s": _seconds(limit),
        "limit / steps with a network": f"{100 * limit / in_networks:.0f} %",
    }


def _seconds(value: float | None) -> str:
    return "" if value is None else f"{value:.2f}"


def _machine(cost: dict[str, Any]) -> str:
    if cost["device"].startswith("cuda"):
        return torch.cuda.get_device_name(torch.device(cost["device"]))
    return f"{cost['threads']} threads of a {platform.machine()} CPU"
