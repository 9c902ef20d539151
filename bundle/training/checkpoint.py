"""Where an interrupted training goes on."""

from __future__ import annotations

from pathlib import Path


def newest_checkpoint(ckpt_dir: str, prefix: str) -> str | None:
    """Return the most recently written ``<prefix>_*.pt`` of ``ckpt_dir``, or None: training starts anew."""
    found = sorted(Path(ckpt_dir).glob(f"{prefix}_*.pt"), key=_changed_at)
    return str(found[-1]) if found else None


def _changed_at(path: Path) -> float:
    """Return the time of the last change of ``path``."""
    return path.stat().st_mtime
