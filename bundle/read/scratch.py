"""A temporary folder that goes with the block, and with the next block of any process if this one is killed."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

PREFIX = "pancreas_ct_"


@contextmanager
def scratch_folder() -> Iterator[Path]:
    """Give an empty folder in the system's temporary folder, for this user alone.

    Beside it lies a lock file that this process holds. The system frees it when the process ends, however it ends: a
    folder whose lock is free has been left by a process that was killed, and is removed when the next one is made.
    """
    _remove_abandoned(Path(tempfile.gettempdir()))
    handle, name = tempfile.mkstemp(prefix=PREFIX, suffix=".lock")
    os.close(handle)
    folder = Path(name).with_suffix("")
    # held before the folder is made: without a folder nobody looks at the lock
    with FileLock(name):
        try:
            folder.mkdir(mode=0o700)
            yield folder
        finally:
            _remove(folder, Path(name))


def _remove_abandoned(temporary: Path) -> None:
    for lock_file in temporary.glob(f"{PREFIX}*.lock"):
        folder = lock_file.with_suffix("")
        if not _is_ours(folder):
            continue
        try:
            with FileLock(lock_file, blocking=False):
                _remove(folder, lock_file)
        except (Timeout, OSError, NotImplementedError):  # in use, or on a file system without locks
            continue


def _is_ours(folder: Path) -> bool:
    if os.path.islink(folder) or not os.path.isdir(folder):
        return False
    return not hasattr(os, "geteuid") or folder.stat().st_uid == os.geteuid()


def _remove(folder: Path, lock_file: Path) -> None:
    """Remove the folder, then the lock file: whoever is killed in between leaves the next one something to find."""
    shutil.rmtree(folder, ignore_errors=True)
    if not folder.exists():
        try:
            lock_file.unlink(missing_ok=True)
        except PermissionError:  # Windows keeps what is open; it is empty
            return
