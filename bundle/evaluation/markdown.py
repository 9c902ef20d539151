"""Markdown for the pages that commands write: tables, and the places in a page where they go."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from bundle.errors import bad_input
from bundle.files import write_text


def markdown_table(heading: Sequence[Any], rows: Iterable[Sequence[Any]]) -> str:
    """Return a Markdown table without a line break at its end; cells are written as ``str`` does."""
    lines = [heading, ["---"] * len(heading), *rows]
    return "\n".join(f"| {' | '.join(map(str, cells))} |" for cells in lines)


def fill_in(page: Path, parts: Mapping[str, str]) -> None:
    """Replace what stands between ``<!-- NAME -->`` and ``<!-- end -->`` in a page by the parts of that name.

    Raises:
        InputError: no such page, or it has no place for a part.
    """
    if not page.is_file():
        raise bad_input(page, "the page exists", "no such file", "Run from a clone of the bundle.")
    text = page.read_text(encoding="utf-8")
    for name, part in parts.items():
        place = re.compile(rf"(<!-- {re.escape(name)} -->\n).*?(<!-- end -->)", re.DOTALL)
        found = place.search(text)
        if found is None:
            raise bad_input(page, f"it has a place for '{name}'", "none", f"Add <!-- {name} --> and <!-- end -->.")
        text = f"{text[:found.end(1)]}{part}\n{text[found.start(2):]}"
    write_text(text, page)
