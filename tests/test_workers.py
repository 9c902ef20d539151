"""bundle.rendering.workers: no process stays behind."""

from __future__ import annotations

import subprocess
import sys
import time

import psutil

COMMAND = """
import os, time
from bundle.rendering.workers import worker_pool
pool = worker_pool(1)
print(pool.submit(os.getpid).result(), flush=True)
time.sleep(60)
"""


def test_a_worker_ends_when_its_command_is_killed():
    with subprocess.Popen([sys.executable, "-c", COMMAND], stdout=subprocess.PIPE, text=True) as command:
        worker = psutil.Process(int(command.stdout.readline()))
        assert not ended(worker)
        command.kill()
    deadline = time.monotonic() + 20
    while not ended(worker) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert ended(worker)


def ended(process: psutil.Process) -> bool:
    try:
        return process.status() == psutil.STATUS_ZOMBIE  # where nobody asks for its exit status
    except psutil.NoSuchProcess:
        return True
