"""bundle.evaluation.flops and bench: counting, shaping and the tables; the jobs themselves are `make bench`."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from bundle.errors import InputError
from bundle.evaluation.bench import BenchResult, bench_page, fit_to_shape, run_job
from bundle.evaluation.flops import WindowRecorder, count_flops, matrix_rate


def test_flops_of_one_convolution():
    # 6 · 5 · 4 outputs, each 3 · 27 multiplications and additions, 2 channels.
    network = nn.Conv3d(3, 2, kernel_size=3, padding=1)
    assert count_flops(network, (1, 3, 6, 5, 4)) == 2 * (6 * 5 * 4) * 2 * (3 * 27)


def test_recorder_counts_calls_by_shape():
    network = nn.Conv3d(1, 1, kernel_size=1)
    recorder = WindowRecorder(network)
    for size in (2, 4, 4):
        network(torch.zeros(1, 1, size, 1, 1))
    assert recorder.shapes == {(1, 1, 2, 1, 1): 1, (1, 1, 4, 1, 1): 2}
    assert recorder.flops() == 2 * (2 + 2 * 4)
    assert sum(recorder.shapes.values()) == 3


def test_matrix_rate_is_positive():
    assert matrix_rate(torch.device("cpu"), torch.float32, size=64) > 0


def test_fit_to_shape_keeps_the_middle_and_fills_with_air():
    image = np.arange(4, dtype=np.int16).reshape(4, 1, 1)
    assert fit_to_shape(image, (2, 1, 3))[:, 0].tolist() == [[-1024, 1, -1024], [-1024, 2, -1024]]


def test_failing_job_is_one_clear_error(tmp_path):
    config = tmp_path / "configs" / "inference.json"
    config.parent.mkdir()
    config.write_text("{}")
    with pytest.raises(InputError, match="the inference workflow runs; received"):
        run_job(config, tmp_path / "scan.nii.gz", tmp_path / "output")


def test_page_compares_the_jobs_and_names_the_limit():
    cascade = cost(10.0, flops=4e12)
    page = bench_page(BenchResult((512, 512, 300), cascade, cost(150.0, flops=40e12), {"bfloat16": 1e12}))
    assert "15.0 ×" in page
    assert "512 × 512 × 300" in page
    # 4 TFLOP at 1 TFLOP/s are 4 s, half of the 8 s spent in the networks.
    assert "4.00" in page and "50 %" in page


def test_page_without_the_whole_scan():
    page = bench_page(BenchResult((64, 64, 32), cost(10.0, flops=4e12), None, {"bfloat16": 1e12}))
    assert "segmenter over all" not in page


def cost(total: float, flops: float) -> dict[str, Any]:
    return {
        "outcome": "ok",
        "seconds": {"start and read": total - 8, "localize": 2.0, "segment": 6.0},
        "seconds_total": total,
        "peak_memory_mb": 1000.0,
        "peak_gpu_memory_mb": 0.0,
        "windows": {"segmenter": 8},
        "flops": {"segmenter": flops},
        "dtype": "bfloat16",
        "device": "cpu",
        "threads": 2,
    }
