"""The one exception that bad input raises, how its message is made, and how it is shown."""

from __future__ import annotations

import re
import sys
from types import TracebackType
from typing import Any

# Control characters, those that turn the direction of writing, and what bytes become that are no text.
_UNPRINTABLE = re.compile("[\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")


class InputError(ValueError):
    """Input that cannot be processed; the message names the source, the rule, the value received and the remedy.

    Made by :func:`bad_input`. It takes one string, so that it survives the trip out of a data loader's worker process.
    """


def bad_input(source: Any, rule: str, received: Any, remedy: str) -> InputError:
    """Return the error "source: rule; received value. remedy".

    Args:
        source: file, folder, configuration key or argument at fault.
        rule: what is required, as a statement ("a scan has three dimensions").
        received: what was found instead.
        remedy: what the user can do about it, as an imperative.
    """
    return InputError(printable(f"{source}: {rule}; received {received}. {remedy}"))


def printable(text: str) -> str:
    """Return ``text`` on one line that every terminal takes: what is no character to show is escaped, as in Python.

    File names and headers may hold line breaks, terminal commands and bytes that are no text.
    """
    return _UNPRINTABLE.sub(_escaped, text)


def _escaped(match: re.Match[str]) -> str:
    return match.group().encode("unicode_escape").decode()


def input_error(error: BaseException | None) -> InputError | None:
    """Return the bad input behind an exception, which MONAI wraps in its own, or None if it was not that."""
    while error is not None:
        if isinstance(error, InputError):
            return error
        error = error.__cause__ or error.__context__
    return None


def show_input_errors_plainly() -> None:
    """From now on, end this process on bad input with one line on stderr instead of a traceback.

    For ``python -m monai.bundle run``, whose command line is not ours: MONAI wraps the error several times and prints
    every layer, with ours in the middle. Other exceptions are shown as before.
    """
    if sys.excepthook is not _show:
        global _other_hook
        _other_hook = sys.excepthook
        sys.excepthook = _show


_other_hook = sys.__excepthook__


def _show(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    bad = input_error(error)
    if bad is None:
        _other_hook(kind, error, trace)
        return
    # From a data loader's worker the message comes inside the worker's traceback, as its last part.
    print(f"error: {str(bad).rsplit('InputError: ', 1)[-1].strip()}", file=sys.stderr)
