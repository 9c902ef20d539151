"""A report in words: outcomes, findings and numbers as a reader wants them, whatever keys it has or lacks."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import PureWindowsPath
from typing import Any

GOOD, CAUTION, BAD = "good", "caution", "bad"


@dataclass(frozen=True)
class Outcome:
    """What an outcome means.

    Attributes:
        title: in two or three words.
        meaning: for someone who does not know the program.
        level: ``good``, ``caution`` or ``bad``.
    """

    title: str
    meaning: str
    level: str


@dataclass(frozen=True)
class Quantity:
    """A number with its name and unit, all as text."""

    name: str
    value: str
    unit: str


OUTCOMES = {
    "ok": Outcome("Pancreas outlined", "The pancreas was found and outlined.", GOOD),
    "not_found": Outcome("Pancreas not found", "No pancreas was found in this scan; the mask is empty.", CAUTION),
    "outside_field_of_view": Outcome(
        "Outside the field of view", "The scan does not show the part of the body where the pancreas lies.", CAUTION
    ),
    "touches_border": Outcome(
        "Cut off by the scan's border",
        "The outline reaches the border of the scan, beyond which the gland may go on: volume and lengths are too "
        "small if it does.",
        CAUTION,
    ),
    "low_confidence": Outcome(
        "Outlined with low confidence",
        "An outline was made, but the checks of its quality doubt it: look at it before any number is used.",
        CAUTION,
    ),
    "invalid_input": Outcome("Scan cannot be used", "The input was refused, and nothing was outlined.", BAD),
    "failed": Outcome("Not finished", "An unexpected error ended the work on this scan; there is no result.", BAD),
    "skipped": Outcome("Left out", "This series was not processed.", CAUTION),
    "not done": Outcome("Not done", "The run ended before this scan's turn.", BAD),
}

SEVERITIES = {"note": "Note", "warning": "Warning", "refusal": "Refused"}

# Names of the measurements (docs/measurements.md); others are named by their key.
_NAMES = {
    "volume_ml": "Volume",
    "pieces": "Separate pieces",
    "largest_piece_fraction": "Share of the largest piece",
    "mean_hu": "Mean attenuation, 1 mm inside the surface",
    "sd_hu": "Standard deviation of attenuation",
    "hu_voxel_fraction": "Share of voxels inside that 1 mm",
    "fat_fraction": "Fat share, outline widened by 1 mm",
    "fat_fraction_undilated": "Fat share within the outline",
    "surface_lobularity_mm": "Surface lobularity",
    "length_mm": "Length along the centre-line",
    "mean_calibre_mm": "Mean calibre",
    "max_calibre_mm": "Largest calibre",
    "border_mm": "Distance to the scan's border",
}
_KEY_NUMBERS = {
    "volume_ml": "Volume",
    "mean_hu": "Mean attenuation",
    "fat_fraction": "Fat share",
    "length_mm": "Length",
    "mean_calibre_mm": "Mean calibre",
    "border_mm": "Border distance",
}
# Six or three numbers that are one thing: they share a row.
_GROUPS = {
    re.compile(r"border_(left|right|posterior|anterior|inferior|superior)_mm"): "Distance to each border",
    re.compile(r"centroid_([xyz])_mm"): "Centre, RAS",
    re.compile(r"box_([xyz])_min_mm"): "Box from, RAS",
    re.compile(r"box_([xyz])_max_mm"): "Box to, RAS",
}
_UNITS = {"ml": "ml", "mm": "mm", "mm2": "mm²", "mm3": "mm³", "hu": "HU", "percent": "%", "fraction": "%", "mb": "MB"}
_DECIMALS = {"ml": 1, "mm": 1, "mm2": 0, "mm3": 0, "hu": 0, "percent": 1, "fraction": 1, "mb": 0}


def outcome_of(name: Any) -> Outcome:
    """Return what the outcome means; an unknown one is shown by its name and calls for caution."""
    return OUTCOMES.get(str(name)) or Outcome(str(name).replace("_", " ").capitalize(), "", CAUTION)


def findings_of(report: Mapping[str, Any]) -> list[dict[str, str]]:
    """Return the findings as texts: ``severity`` (of the style), ``label`` and ``text``; the gravest come first."""
    found = []
    for finding in report.get("findings") or ():
        severity = str(finding.get("severity", "note"))
        text = str(finding.get("text") or "") or str(finding.get("name", "")).replace("_", " ")
        label = SEVERITIES.get(severity, severity)
        found.append({"severity": severity, "label": label, "text": sentence(public(text, report))})
    grave = ("refusal", "warning")
    gravest_first = [finding for severity in grave for finding in found if finding["severity"] == severity]
    return gravest_first + [finding for finding in found if finding["severity"] not in grave]


def reason_of(report: Mapping[str, Any]) -> str:
    """Return the reason as a sentence, or nothing."""
    return sentence(public(str(report.get("reason") or ""), report))


def sentence(text: str) -> str:
    """Return the text with a full stop and, unless a file's name is at its beginning, a capital letter."""
    text = text.strip()
    if not text:
        return ""
    first = text[0].upper() if text.split()[0].isalpha() else text[0]
    return first + text[1:] + ("" if text[-1] in ".!?" else ".")


def public(text: str, report: Mapping[str, Any]) -> str:
    """Return the text without the folders that lead to the scan: their names may tell who the patient is."""
    path = str(report.get("input_file") or "")
    folders = path[: len(path) - len(file_name(report))]
    return text.replace(folders, "") if len(folders) > 1 else text


def file_name(report: Mapping[str, Any]) -> str:
    """Return the name of the scan's file or folder without what leads to it."""
    return PureWindowsPath(str(report.get("input_file") or "")).name  # also knows slashes


def key_numbers(report: Mapping[str, Any]) -> list[Quantity]:
    """Return the few numbers that stand at the top of the page, those of them that the report has."""
    found = []
    for key, value in _measured(report).items():
        if key in _KEY_NUMBERS:
            found.append(replace(quantity(key, value), name=_KEY_NUMBERS[key]))
    if _is_number(report.get("predicted_dice")):
        found.append(Quantity("Expected Dice", f"{report['predicted_dice']:.2f}", ""))
    return found


def measurements(report: Mapping[str, Any]) -> list[Quantity]:
    """Return the volume and all measurements that have a value; coordinates of one point share a row."""
    rows: dict[str, Quantity] = {}
    for key, value in _measured(report).items():
        row = quantity(key, value)
        for pattern, name in _GROUPS.items():
            match = pattern.fullmatch(key)
            if match:
                before = f"{rows[name].value}, " if name in rows else ""
                row = Quantity(name, f"{before}{match[1]} {row.value}", row.unit)
        rows[row.name] = row
    return list(rows.values())


def quantity(key: str, value: float) -> Quantity:
    """Return ``mean_hu`` 41.23 as "Mean …", "41" and "HU": the unit is the end of the key, a fraction becomes %."""
    stem, _, unit = key.rpartition("_")
    if unit not in _UNITS or not stem:
        stem, unit = key, "fraction" if "_fraction_" in key else ""
    words = stem.replace("_", " ")
    shown = 100 * value if unit == "fraction" else value
    decimals = 0 if not unit and float(value).is_integer() else _DECIMALS.get(unit)
    if abs(shown) < 1 and unit == "mm":
        decimals = 2
    name = _NAMES.get(key) or words[:1].upper() + words[1:]
    return Quantity(name, number(shown, decimals), _UNITS.get(unit, ""))


def number(value: float, decimals: int | None = None) -> str:
    """Return a number with a true minus sign; without ``decimals``, three significant digits."""
    if decimals is None:
        size = math.floor(math.log10(abs(value))) if value else 0
        decimals = max(0, 2 - size)
    text = f"{value:.{decimals}f}"
    return (text[1:] if float(text) == 0 and text.startswith("-") else text).replace("-", "−")


def details(report: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return the rows about scan and program: (name, text)."""
    rows = [("Case", str(report.get("case") or "")), ("File", file_name(report))]
    if report.get("shape"):
        rows.append(("Voxels", " × ".join(str(n) for n in report["shape"])))
    if report.get("spacing_mm"):
        rows.append(("Voxel size", " × ".join(f"{mm:.2f}" for mm in report["spacing_mm"]) + " mm"))
    seconds = {k: v for k, v in (report.get("seconds") or {}).items() if _is_number(v)}
    if seconds:
        parts = ", ".join(f"{stage} {value:.1f}" for stage, value in seconds.items() if value >= 0.05)
        rows.append(("Time", f"{sum(seconds.values()):.1f} s" + (f" ({parts})" if parts else "")))
    if _is_number(report.get("peak_memory_mb")):
        rows.append(("Peak memory", f"{report['peak_memory_mb']:.0f} MB"))
    if report.get("system"):
        rows.append(("System", str(report["system"])))
    for name, digest in (report.get("weights_sha256") or {}).items():
        rows.append((f"Weights {name}", f"SHA-256 {digest}"))
    if report.get("versions"):
        rows.append(("Versions", ", ".join(f"{name} {number}" for name, number in report["versions"].items())))
    return [(name, text) for name, text in rows if text]


def _measured(report: Mapping[str, Any]) -> dict[str, float]:
    """Return the measurements that have a value, the volume first, which reports have without them too."""
    found = {"volume_ml": report.get("volume_ml"), **(report.get("measurements") or {})}
    return {str(key): value for key, value in found.items() if _is_number(value)}


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
