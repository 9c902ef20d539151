"""What a client of MONAI Label chose among the ``displayable_configs``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TypeVar

from bundle.errors import bad_input

T = TypeVar("T")


def choice_of(offered: str | Sequence[str]) -> str:
    """Return the choice; of the whole list that was offered the first: clients send it back where nobody chose."""
    return offered if isinstance(offered, str) else offered[0]


def chosen(offered: str | Sequence[str], values: Mapping[str, T]) -> T:
    """Return the value that belongs to a choice.

    Args:
        offered: see :func:`choice_of`; without a client it is the list that the configuration holds.
        values: by choice.

    Raises:
        InputError: a choice without a value.
    """
    choice = choice_of(offered)
    if choice not in values:
        raise bad_input("displayable_configs", f"a choice is one of {', '.join(values)}", choice, "Choose one of them.")
    return values[choice]
