"""The folder that a command writes to, made before its work."""

from __future__ import annotations

from pathlib import Path

from bundle.errors import bad_input


def make_folder(folder: str | Path) -> Path:
    """Make a folder if it is missing and return its path: one that cannot be made must not cost an hour of work.

    Raises:
        InputError: it is a file, or cannot be made.
    """
    folder = Path(folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except FileExistsError as error:
        raise bad_input(folder, "the output is a folder", "a file", "Give another --output.") from error
    except OSError as error:
        raise bad_input(folder, "the output folder can be made", error, "Give another --output.") from error
    return folder
