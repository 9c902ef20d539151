"""What the command prints when it is done: a line for each study, and for each series that was left out."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from bundle.errors import printable

SKIPPED, NOT_DONE = "skipped", "not done"

_STYLES = {"ok": "green", "failed": "red", "invalid_input": "red", SKIPPED: "dim", NOT_DONE: "dim"}
_FLAGGED = "yellow"
_WIDTH = 120  # where no terminal says how wide it is


@dataclass(frozen=True)
class Row:
    """A line of the closing table."""

    case: str
    outcome: str
    volume_ml: float | None = None
    seconds: float | None = None
    reason: str = ""

    @property
    def styled_outcome(self) -> str:
        """The outcome in its colour."""
        style = _STYLES.get(self.outcome, _FLAGGED)
        return f"[{style}]{escape(self.outcome)}[/{style}]"


def print_table(rows: Sequence[Row], output: Path) -> None:
    """Print the closing table to stdout."""
    table = Table("case", "outcome", caption=f"results in {escape(printable(str(output)))}", caption_justify="left")
    table.add_column("volume ml", justify="right")
    table.add_column("seconds", justify="right")
    if any(row.reason for row in rows):
        table.add_column("reason", overflow="fold")
    for row in rows:
        cells = [escape(printable(row.case)), row.styled_outcome, number(row.volume_ml), number(row.seconds)]
        table.add_row(*cells, *([escape(printable(row.reason))] if len(table.columns) > len(cells) else []))
    Console(width=None if sys.stdout.isatty() else _WIDTH).print(table)


def number(value: float | None) -> str:
    """Return the number with one decimal, or nothing."""
    return "" if value is None else f"{value:.1f}"
