"""Files as text inside a page: nothing is loaded from elsewhere."""

from __future__ import annotations

import base64
import gzip
import hashlib

# Decompressed by the browser; a higher level takes several times as long for a few percent.
_LEVEL = 6


def packed(content: bytes) -> str:
    """Return ``content`` gzip-compressed as base64, the same text for the same content."""
    return base64.b64encode(gzip.compress(content, _LEVEL, mtime=0)).decode("ascii")


def data_uri(content: bytes, media_type: str) -> str:
    """Return ``content`` as the address of an image or the like."""
    return f"data:{media_type};base64,{base64.b64encode(content).decode('ascii')}"


def script_hash(script: str) -> str:
    """Return what a content security policy calls this script by."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(script.encode()).digest()).decode('ascii')}'"
