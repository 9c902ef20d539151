"""Peak resident memory of this process."""

from __future__ import annotations

import sys
from pathlib import Path

STATUS_FILE = Path("/proc/self/status")
CLEAR_REFS_FILE = Path("/proc/self/clear_refs")
RESET_PEAK = "5"
"""What the Linux kernel takes for "forget the peak" (proc(5), clear_refs)."""


def peak_memory_mb() -> float:
    """Largest resident memory of this process so far, in MB (10^6 bytes), child processes not counted.

    Since the start of the process, or since :func:`reset_peak_memory` where that works. Linux keeps it as ``VmHWM``;
    ``ru_maxrss`` is the fallback there, because it also carries what the parent used before it started this program.
    """
    if (peak := _linux_peak_mb()) is not None:
        return peak
    if sys.platform == "win32":
        import psutil

        return psutil.Process().memory_info().peak_wset / 1e6
    import resource

    peak_rss = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    # macOS counts bytes, every other Unix kibibytes.
    return peak_rss / 1e6 if sys.platform == "darwin" else peak_rss * 1024 / 1e6


def reset_peak_memory() -> bool:
    """Lower the peak to what is resident now; whether the system could (Linux only, and not in every container)."""
    if _linux_peak_mb() is None:
        return False
    try:
        CLEAR_REFS_FILE.write_text(RESET_PEAK)
    except OSError:
        return False
    return True


def _linux_peak_mb() -> float | None:
    try:
        lines = STATUS_FILE.read_text().splitlines()
    except OSError:
        return None
    for line in lines:
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024 / 1e6
    return None
