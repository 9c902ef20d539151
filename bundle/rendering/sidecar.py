"""The JSON file beside a label map: names of its structures, and whose anatomy it shows."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bundle.errors import bad_input

_FORMS = 'Write {"1": "pancreas", ...}, or {"labels": {"1": "pancreas", ...}, "patients": ["p1"]}.'


def stem_of(path: Path) -> str:
    """Return the name of a label map without .nii or .nii.gz."""
    return path.name.removesuffix(".gz").removesuffix(".nii")


def sidecar_path(path: Path) -> Path:
    """Return where the sidecar of a label map is, or would be."""
    return path.with_name(f"{stem_of(path)}.json")


def read_names(path: Path) -> dict[int, str]:
    """Return value to structure name of a label map, from either of the two customary directions.

    Empty if there is no sidecar, or one without names. Entries beside {"value": "name"} are passed over.

    Raises:
        InputError: a sidecar that is no JSON object, or whose names have another form.
    """
    content = _read(path)
    labels = content.get("labels", {key: value for key, value in content.items() if key != "patients"})
    try:
        if not isinstance(labels, Mapping):
            raise TypeError(f"a {type(labels).__name__} as labels")
        if any(str(value).isdigit() for value in labels):
            return {int(value): str(name) for value, name in labels.items() if str(value).isdigit()}
        return {int(value): str(name) for name, value in labels.items()}
    except (TypeError, ValueError) as error:
        raise bad_input(sidecar_path(path), "names are given by label value", error, _FORMS) from error


def read_patients(path: Path) -> tuple[str, ...]:
    """Return everyone whose anatomy is part of a label map: its own name where no sidecar says.

    Raises:
        InputError: a sidecar that is no JSON object, or patients that are no names.
    """
    patients = _read(path).get("patients") or [stem_of(path)]
    if isinstance(patients, str):
        patients = [patients]
    if not isinstance(patients, list) or not all(isinstance(name, str) for name in patients):
        raise bad_input(sidecar_path(path), "patients is a list of names", repr(patients), 'Write ["p1"].')
    for name in patients:
        # Files are named after patients: they must stay in their folder, and not be hidden in it.
        if not name.strip() or name.startswith(".") or set(name) & set("/\\\0"):
            rule, remedy = "a patient's name is no path", "Write a name without slashes or a leading dot."
            raise bad_input(sidecar_path(path), rule, repr(name), remedy)
    return tuple(patients)


def _read(path: Path) -> dict[str, Any]:
    sidecar = sidecar_path(path)
    if not sidecar.is_file():
        return {}
    try:
        content = json.loads(sidecar.read_text(encoding="utf-8"))
    except UnicodeDecodeError as error:
        raise bad_input(sidecar, "names are given in UTF-8", error, "Save the file as UTF-8.") from error
    except (OSError, json.JSONDecodeError) as error:
        raise bad_input(sidecar, "names are given as JSON", error, _FORMS) from error
    if not isinstance(content, dict):
        raise bad_input(sidecar, "names are given as a JSON object", f"a {type(content).__name__}", _FORMS)
    return content
