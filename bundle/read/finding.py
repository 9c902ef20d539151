"""Something worth knowing about a scan that was accepted all the same."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

META_KEY = "input_findings"

CLICKS = "clicks"
"""The finding that somebody corrected the mask."""

# ``name`` for programs, ``severity`` (note, warning or refusal), ``text`` in words: the findings of report.json.
Finding = dict[str, str]


def note(name: str, text: str) -> Finding:
    """Return a finding that changes nothing."""
    return {"name": name, "severity": "note", "text": text}


def warning(name: str, text: str) -> Finding:
    """Return a finding that the user should look into."""
    return {"name": name, "severity": "warning", "text": text}


def to_text(findings: Iterable[Finding]) -> str:
    """Return the findings as JSON text, for the meta data of a scan."""
    return json.dumps(list(findings))


def input_findings(meta: Mapping[Any, Any]) -> list[Finding]:
    """Return what reading found out, from the meta data of a scan or of a mask made from it; often nothing."""
    return json.loads(meta.get(META_KEY) or "[]")
