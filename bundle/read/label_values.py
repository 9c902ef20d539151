"""What the values of a data set's label maps mean, as indices of our classes."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from pathlib import Path

from bundle.errors import bad_input
from bundle.read.datalist import read_label_names


def label_classes(
    dataset_dir: str | os.PathLike[str],
    label_values: Mapping[str, str] | Mapping[int, str] | None,
    classes: Sequence[str],
    others: Sequence[str] = (),
) -> dict[int, int]:
    """Return label value to index in ``classes``, for :class:`~bundle.read.LoadLabeld`.

    Names are compared without regard to case, punctuation and the order of words ("Kidney left" is "left_kidney").
    Value 0 is background unless something else is said.

    Args:
        dataset_dir: folder whose dataset.json names the label values; not looked at if ``label_values`` is given.
        label_values: value to class name; None takes dataset.json's own names.
        classes: class names in channel order, background first.
        others: names that are no classes of the system and count as background; a class stays one.

    Raises:
        InputError: a name that is neither a class nor among the others, or no foreground class at all.
    """
    if label_values is None:
        source, names = read_label_names(dataset_dir)
    else:
        source, names = Path("label_values"), _integer_keys(label_values)
    index_of = {_words(name): 0 for name in others} | {_words(name): index for index, name in enumerate(classes)}
    mapping = {0: 0}
    for value, name in names.items():
        if _words(name) not in index_of:
            raise bad_input(
                source,
                f"each label value is one of the classes {', '.join(classes)}",
                f"{name!r} for value {value}",
                _remedy(names, index_of, classes),
            )
        mapping[value] = index_of[_words(name)]
    if not any(mapping.values()):
        organ = next(iter(classes[1:]), "pancreas")
        raise bad_input(
            source,
            f"a label value stands for one of the classes {', '.join(classes[1:])}",
            repr(names),
            f'Correct classes, or set label_values, for example to {{"0": "background", "1": "{organ}"}}.',
        )
    return mapping


def _integer_keys(label_values: Mapping[str, str] | Mapping[int, str]) -> dict[int, str]:
    try:
        return {int(value): str(name) for value, name in label_values.items()}
    except (AttributeError, TypeError, ValueError) as error:
        raise bad_input(
            "label_values",
            "label_values maps integers to class names",
            repr(label_values),
            'Write {"0": "background", "1": "pancreas"}.',
        ) from error


def _words(name: str) -> tuple[str, ...]:
    return tuple(sorted(re.findall(r"[a-z0-9]+", name.lower())))


def _remedy(names: Mapping[int, str], index_of: Mapping[tuple[str, ...], int], classes: Sequence[str]) -> str:
    """Propose a mapping: the names that are classes or nearly, tumours as the pancreas they lie in, else background."""
    pairs = {value: classes[index_of.get(_words(name), _likely_class(name, classes))] for value, name in names.items()}
    if all(name == classes[0] for name in pairs.values()) and len(classes) > 1:
        pairs[max(pairs)] = classes[1]
    proposal = ", ".join(f'"{value}": "{name}"' for value, name in pairs.items())
    return f"Set label_values, for example to {{{proposal}}}."


def _likely_class(name: str, classes: Sequence[str]) -> int:
    if close := get_close_matches(name.lower(), classes, n=1, cutoff=0.8):
        return classes.index(close[0])
    lesions = {"cancer", "tumor", "tumour", "lesion", "cyst"}
    return 1 if lesions & set(_words(name)) and len(classes) > 1 else 0
