"""The one exception that bad input raises, and how its message is made."""

from __future__ import annotations

from typing import Any


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
    return InputError(f"{source}: {rule}; received {received}. {remedy}")
