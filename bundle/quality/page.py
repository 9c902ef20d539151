"""The tables and pictures of docs/quality.md: how well a score tells good masks from bad ones."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from scipy import stats

from bundle.assess.outcome import MIN_PREDICTED_DICE
from bundle.evaluation.markdown import markdown_table
from bundle.quality.calibration import Calibration, fit
from bundle.quality.curves import BAD_DICE, auroc, auroc_interval
from bundle.quality.masks import VOTE
from bundle.quality.opinions import OPINIONS
from bundle.quality.plot import plot_quality
from bundle.quality.score import with_mask

Row = Mapping[str, Any]

RENDERED_PICTURE = "quality_rendered.png"
REAL_PICTURE = "quality_real_masks.png"
AGREEMENT = ("own_agreement", "agreement")
MIN_OF_A_KIND = 3

_LESS_IS_BETTER = ("faint_ratio", "boundary_entropy", "pieces", "border_share")
_COLUMNS = ("n", f"Dice < {BAD_DICE:g}", "mean Dice", "AUROC (95 % interval)", "Spearman", "mean error of prediction")


def rendered_tables(rows: Sequence[Row], calibration: Calibration, images: Path) -> dict[str, str]:
    """Return Markdown by name (``rendered``, ``flagged``, ``opinions``), and draw the picture.

    Args:
        rows: of scans that the calibration was not fitted on; those without a mask have no prediction.
        calibration: that predicts.
        images: folder of the pictures.
    """
    used = [row for row in with_mask(rows) if calibration(row) is not None]
    score = {row["case"]: float(calibration(row) or 0) for row in used}
    groups = {name: members for name, members in _by_difficulty(used).items() if members}
    lines = [_line(name, members, [score[row["case"]] for row in members]) for name, members in groups.items()]
    predicted, dice = np.array([score[row["case"]] for row in used]), _dice(used)
    plot_quality({"rendered test scans": (predicted, dice)}, images / RENDERED_PICTURE)
    return {
        "rendered": markdown_table(("scans", *_COLUMNS), lines),
        "flagged": _flagged(predicted, dice),
        "opinions": _opinions(used),
    }


def real_tables(rows: Sequence[Row], images: Path) -> dict[str, str]:
    """Return Markdown by name (``real``), and draw the picture.

    The predicted Dice of a mask comes from a calibration fitted on the other patients.

    Args:
        rows: of :func:`~bundle.quality.masks.agreement_rows`.
        images: folder of the pictures.
    """
    networks = [row for row in rows if row["network"] != VOTE]
    names = list(dict.fromkeys(row["network"] for row in networks))
    groups = {f"network {name}": [row for row in networks if row["network"] == name] for name in names}
    votes = [row for row in rows if row["network"] == VOTE]
    predicted = {(row["case"], row["network"]): value for part in (networks, votes) for row, value in _held_out(part)}
    lines = []
    for name, members in {"the three networks together": networks, **groups, VOTE: votes}.items():
        dice, patients = _dice(members), [row["case"] for row in members]
        prediction = np.array([predicted[row["case"], row["network"]] for row in members])
        scores = [np.array([row[column] for row in members]) for column in AGREEMENT] + [prediction]
        cells = [_auroc_cell(score, dice < BAD_DICE, patients) for score in scores]
        error = f"{np.abs(prediction - dice).mean():.3f}"
        lines.append([name, str(len(members)), str(int((dice < BAD_DICE).sum())), f"{dice.mean():.3f}", *cells, error])
    shown = {
        name: (np.array([predicted[row["case"], row["network"]] for row in members]), _dice(members))
        for name, members in groups.items()
    }
    plot_quality(shown, images / REAL_PICTURE, pooled="together")
    heading = ("masks", *_COLUMNS[:3], "AUROC: agreement with the others", "AUROC: agreement of all pairs")
    return {"real": markdown_table((*heading, "AUROC: predicted Dice", _COLUMNS[-1]), lines)}


def _held_out(rows: Sequence[Row]) -> list[tuple[Row, float]]:
    """Return each row with what a calibration fitted on the other patients predicts."""
    results = []
    for case in dict.fromkeys(row["case"] for row in rows):
        calibration = fit([row for row in rows if row["case"] != case], AGREEMENT)
        results += [(row, float(calibration(row) or 0)) for row in rows if row["case"] == case]
    return results


def _by_difficulty(rows: Sequence[Row]) -> dict[str, list[Row]]:
    groups = {"all": list(rows)}
    for name, column, low, high in (
        ("slices below 2 mm", "slice_thickness_mm", 0, 2),
        ("slices of 2 to 4 mm", "slice_thickness_mm", 2, 4),
        ("slices of 4 mm and more", "slice_thickness_mm", 4, math.inf),
        ("noise below 10 HU", "noise_hu", 0, 10),
        ("noise of 10 to 20 HU", "noise_hu", 10, 20),
        ("noise of 20 HU and more", "noise_hu", 20, math.inf),
        ("glands below 30 ml", "label_ml", 0, 30),
        ("glands of 30 ml and more", "label_ml", 30, math.inf),
    ):
        groups[name] = [row for row in rows if row.get(column) is not None and low <= row[column] < high]
    for phase in sorted({str(row["phase"]) for row in rows if row.get("phase")}):
        groups[f"{phase} phase" if phase != "unenhanced" else phase] = [r for r in rows if r.get("phase") == phase]
    return groups


def _line(name: str, rows: Sequence[Row], score: Sequence[float]) -> list[str]:
    dice, values = _dice(rows), np.asarray(score)
    spearman = stats.spearmanr(values, dice).statistic if len(set(values)) > 2 else math.nan
    cells = [_auroc_cell(values, dice < BAD_DICE), f"{spearman:.2f}", f"{np.abs(values - dice).mean():.3f}"]
    return [name, str(len(rows)), str(int((dice < BAD_DICE).sum())), f"{dice.mean():.3f}", *cells]


def _opinions(rows: Sequence[Row]) -> str:
    """Return a table of what each opinion is worth by itself."""
    dice, lines = _dice(rows), []
    for name in OPINIONS:
        values = np.array([row[name] for row in rows], dtype=float)
        values = -values if name in _LESS_IS_BETTER else values
        if len(set(values)) > 2:
            cell = _auroc_cell(values, dice < BAD_DICE)
            lines.append([f"`{name}`", cell, f"{stats.spearmanr(values, dice).statistic:.2f}"])
    return markdown_table(("opinion", *_COLUMNS[3:5]), lines)


def _flagged(predicted: np.ndarray, dice: np.ndarray) -> str:
    """Return a table of what the threshold on the prediction does."""
    flagged, bad = predicted < MIN_PREDICTED_DICE, dice < BAD_DICE
    names = f"predicted below {MIN_PREDICTED_DICE:g}", f"predicted {MIN_PREDICTED_DICE:g} and more"
    lines = []
    for name, chosen in zip(names, (flagged, ~flagged)):
        mean = f"{dice[chosen].mean():.3f}" if chosen.any() else "–"
        lines.append([name, str(int(chosen.sum())), str(int((bad & chosen).sum())), mean])
    return markdown_table(("scans", *_COLUMNS[:3]), lines)


def _auroc_cell(score: np.ndarray, bad: np.ndarray, groups: Sequence[str] | None = None) -> str:
    """Return AUROC and its interval; a dash where there are fewer than three masks of a kind."""
    if min(int(bad.sum()), int((~bad).sum())) < MIN_OF_A_KIND:
        return "–"
    low, high = auroc_interval(score, bad, groups)
    return f"{auroc(score, bad):.3f} ({low:.2f}–{high:.2f})"


def _dice(rows: Sequence[Row]) -> np.ndarray:
    return np.array([row["dice"] for row in rows], dtype=float)
