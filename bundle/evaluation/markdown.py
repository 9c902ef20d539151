"""Tables as Markdown, for the pages that commands write."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any


def markdown_table(heading: Sequence[Any], rows: Iterable[Sequence[Any]]) -> str:
    """Return a Markdown table without a line break at its end; cells are written as ``str`` does."""
    lines = [heading, ["---"] * len(heading), *rows]
    return "\n".join(f"| {' | '.join(map(str, cells))} |" for cells in lines)
