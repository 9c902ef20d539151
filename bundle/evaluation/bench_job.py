"""One measured job in a process of its own: ``python -m bundle.evaluation.bench_job CONFIG SCAN OUTPUT RESULT``.

Runs the inference workflow from the file to the mask on disk, as ``python -m monai.bundle run`` does, and writes what
it cost as JSON to RESULT. ``--whole-scan`` takes the localizer away, which leaves the segmenter to slide over the whole
scan. ``--started`` is the time (seconds since the epoch) at which the parent started this process.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import Any

import torch
from monai.bundle import ConfigWorkflow
from monai.inferers import Inferer

from bundle.evaluation.flops import WindowRecorder
from bundle.memory import peak_memory_mb


def measure(config: Path, scan: Path, output: Path, whole_scan: bool, started: float) -> dict[str, Any]:
    """Return seconds by step and in total, peak memory, windows and operations by network, dtype and device."""
    overrides: dict[str, Any] = {"dataset_dir": str(scan), "output_dir": str(output)}
    overrides["bundle_root"] = str(config.parents[1])
    if whole_scan:
        overrides["inferer#localizer"] = None
    workflow = ConfigWorkflow(str(config), workflow_type="infer", logging_file=False, **overrides)
    workflow.initialize()
    inferer, network = workflow.inferer, workflow.evaluator.network
    networks = {"segmenter": network, "localizer": inferer.localizer}
    recorders = {name: WindowRecorder(network) for name, network in networks.items() if network is not None}
    calls = _timed_calls(inferer)
    workflow.run()
    ended = time.time()
    workflow.finalize()
    peak_mb = peak_memory_mb()
    (call,) = calls
    device = next(network.parameters()).device
    return {
        "outcome": call["report"].outcome,
        "seconds": {
            "start and read": call["start"] - started,
            **call["report"].seconds,
            "clean up and write": ended - call["end"],
        },
        "seconds_total": ended - started,
        "peak_memory_mb": peak_mb,
        "peak_gpu_memory_mb": torch.cuda.max_memory_allocated(device) / 1e6 if device.type == "cuda" else 0.0,
        "windows": {name: sum(recorder.shapes.values()) for name, recorder in recorders.items()},
        "flops": {name: recorder.flops() for name, recorder in recorders.items()},
        "dtype": "bfloat16" if inferer.segment.amp else "float32",
        "device": str(device),
        "threads": torch.get_num_threads(),
    }


def _timed_calls(inferer: Inferer) -> list[dict[str, Any]]:
    """Note start, end and report of every run of the cascade from now on."""
    calls: list[dict[str, Any]] = []
    run = inferer.run  # type: ignore[attr-defined]

    def timed_run(*args: Any, **kwargs: Any) -> Any:
        start = time.time()
        result = run(*args, **kwargs)
        calls.append({"start": start, "end": time.time(), "report": result.report})
        return result

    inferer.run = timed_run  # type: ignore[attr-defined]
    return calls


def main() -> None:
    """Read the command line, measure, write the result."""
    parser = argparse.ArgumentParser()
    for name in ("config", "scan", "output", "result"):
        parser.add_argument(name, type=Path)
    parser.add_argument("--whole-scan", action="store_true")
    parser.add_argument("--started", type=float, default=time.time())
    args = parser.parse_args()
    cost = measure(args.config, args.scan, args.output, args.whole_scan, args.started)
    args.result.write_text(json.dumps(cost, indent=4))


if __name__ == "__main__":
    main()
