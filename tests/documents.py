"""The commands that the documentation tells its readers to type."""

from __future__ import annotations

import re
from pathlib import Path

_FENCE = re.compile(r"^```\w*\n(.*?)^```", re.DOTALL | re.MULTILINE)
_PROGRAMS = ("make ", "python ", "torchrun ", ".venv/bin/")


def commands_of(page: Path) -> list[str]:
    """Return the commands in the page's code blocks, each on one line, without its comment."""
    commands = []
    for block in _FENCE.findall(page.read_text()):
        for line in block.replace("\\\n", " ").splitlines():
            command = " ".join(re.sub(r"\s#.*", "", line).split())
            if command.startswith(_PROGRAMS):
                commands.append(command)
    return commands
