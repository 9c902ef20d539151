"""What a client of MONAI Label chose among the ``displayable_configs``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TypeVar

from bundle.errors import bad_input

T = TypeVar("T")


def chosen(offered: str | Sequence[str], values: Mapping[str, T]) -> T:
    """Return the value that belongs to a choice.

    Args:
        offered: the choice; or the whole list that was offered, of which the first counts: clients send it back where
            nobody chose, and without a client it is what the configuration holds.
        values: by choice.

    Raises:
        InputError: a choice without a value.
    """
    choice = offered if isinstance(offered, str) else offered[0]
    if choice not in values:
        raise bad_input("displayable_configs", f"a choice is one of {', '.join(values)}", choice, "Choose one of them.")
    return values[choice]
