"""The files in a folder, whatever else lies there."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from bundle.errors import InputError, bad_input


def files_in(folder: Path, below: bool = False, unreadable: dict[Path, InputError] | None = None) -> Iterator[Path]:
    """Yield the files of a folder and with ``below`` those of its subfolders, each folder's in order of path.

    Hidden files and folders are left out; links to files count as files, links to folders are not followed.

    Args:
        folder: where to look.
        below: also in its subfolders, at any depth.
        unreadable: gets the error of each subfolder that cannot be read; the others go on.

    Raises:
        InputError: the folder itself cannot be read.
    """
    left = [folder]
    while left:
        here = left.pop()
        try:
            children = sorted(path for path in here.iterdir() if not path.name.startswith("."))
        except OSError as error:
            problem = bad_input(here, "the folder can be read", error.strerror or error, "Correct its permissions.")
            if here == folder:
                raise problem from error
            if unreadable is not None:
                unreadable[here] = problem
            continue
        # os.path answers no where pathlib raises: links in circles, names too long, no permission to look
        yield from (path for path in children if os.path.isfile(path))
        if below:
            left += [path for path in reversed(children) if os.path.isdir(path) and not os.path.islink(path)]
