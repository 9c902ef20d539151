"""The key under which a preprocessed scan is cached."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from typing import Any


def file_version_hash(item: Mapping[str, Any]) -> bytes:
    """Return a hash of a data list entry that changes when one of its files does (path, size, time of change)."""
    parts = []
    for key in sorted(item):
        value = str(item[key])
        parts.append(f"{key}={value}")
        if os.path.isfile(value):
            status = os.stat(value)
            parts.append(f"{status.st_size}:{status.st_mtime_ns}")
    return hashlib.sha256("|".join(parts).encode()).hexdigest()[:32].encode()
