"""From opinions to a predicted Dice: a ridge regression whose result is bent by an isotonic one."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from bundle.errors import bad_input
from bundle.files import write_text


@dataclass(frozen=True)
class Calibration:
    """A fitted model: standardised opinions, a weighted sum of them, and a rising broken line from it to Dice.

    Attributes:
        features: names of the opinions that it needs.
        centre: of each over the scans it was fitted on.
        scale: standard deviation of each.
        weights: of each, once standardised.
        intercept: of the sum.
        knots: (sum, Dice) of the broken line's corners, rising; beyond them Dice changes as much as the sum does.
        scans: number it was fitted on.
    """

    features: tuple[str, ...]
    centre: tuple[float, ...]
    scale: tuple[float, ...]
    weights: tuple[float, ...]
    intercept: float
    knots: tuple[tuple[float, float], ...]
    scans: int = 0

    def __call__(self, opinions: Mapping[str, float | None]) -> float | None:
        """Return the predicted Dice in [0, 1]; None if an opinion that is needed is missing or None."""
        values = [opinions.get(name) for name in self.features]
        if any(value is None for value in values):
            return None
        (first, low), (last, high) = self.knots[0], self.knots[-1]
        where, dice = zip((first - 1, low - 1), *self.knots, (last + 1, high + 1))
        return float(np.interp(self.score(np.array([values], dtype=float))[0], where, dice).clip(0, 1))

    def score(self, values: np.ndarray) -> np.ndarray:
        """Return the weighted sums (n,) of opinions (n, features)."""
        return (values - self.centre) / self.scale @ np.asarray(self.weights) + self.intercept

    def write(self, path: Path) -> None:
        """Write the model as JSON."""
        write_text(json.dumps(asdict(self), indent=1) + "\n", path)

    @classmethod
    def read(cls, path: Path) -> Calibration:
        """Return the model that :meth:`write` wrote."""
        try:
            values: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
            knots = tuple((float(where), float(dice)) for where, dice in values.pop("knots"))
            for name in ("features", "centre", "scale", "weights"):
                values[name] = tuple(values[name])
            return cls(knots=knots, **values)
        except (OSError, ValueError, KeyError, TypeError) as error:
            rule = "a calibration is a JSON file that the quality command wrote"
            raise bad_input(path, rule, f"{type(error).__name__}: {error}", "Fit it again.") from error


def fit(
    rows: Sequence[Mapping[str, Any]], features: Sequence[str], truth: str = "dice", ridge: float = 1.0
) -> Calibration:
    """Fit the model on scans whose Dice is known.

    The broken line is fitted on sums that each scan gets from the other scans (leave one out), or the optimism of the
    ridge regression would end up in it.

    Args:
        rows: one per scan, with the opinions and ``truth``.
        features: opinions to use; rows in which one is missing are left out.
        truth: column of the Dice.
        ridge: penalty on the squared weights of standardised opinions, in scans.

    Raises:
        InputError: fewer than ten scans can be used.
    """
    used = [row for row in rows if all(row.get(name) is not None for name in (*features, truth))]
    if len(used) < 10:
        raise bad_input("scans", "at least ten are needed", len(used), "Score more scans first.")
    values = np.array([[row[name] for name in features] for row in used], dtype=float)
    dice = np.array([row[truth] for row in used], dtype=float)
    centre, scale = values.mean(axis=0), values.std(axis=0)
    scale = np.where(scale > 0, scale, 1.0)
    standard = (values - centre) / scale
    weights, intercept = _ridge(standard, dice, ridge)
    held_out = np.empty(len(dice))
    for i in range(len(dice)):
        others = np.arange(len(dice)) != i
        w, b = _ridge(standard[others], dice[others], ridge)
        held_out[i] = standard[i] @ w + b
    knots = isotonic_knots(held_out, dice)
    return Calibration(
        tuple(features),
        _rounded(centre),
        _rounded(scale),
        _rounded(weights),
        intercept=round(float(intercept), 6),
        knots=tuple((round(float(x), 4), round(float(y), 4)) for x, y in knots),
        scans=len(used),
    )


def isotonic_knots(x: np.ndarray, y: np.ndarray, min_block: int = 5) -> list[tuple[float, float]]:
    """Return (x, y) of a rising broken line through the blocks of an isotonic regression of ``y`` on ``x``.

    Pool adjacent violators (Barlow et al. 1972, Statistical inference under order restrictions); blocks of fewer than
    ``min_block`` points are never made, and the line goes through the blocks' means instead of being a staircase: so it
    rises everywhere and keeps the order of what it calibrates.
    """
    order = np.argsort(x, kind="stable")
    blocks: list[list[float]] = []  # sum of x, sum of y, number
    for start in range(0, len(order), min_block):
        chunk = order[start : start + min_block]
        if len(chunk) < min_block and blocks:
            blocks[-1] = [blocks[-1][0] + x[chunk].sum(), blocks[-1][1] + y[chunk].sum(), blocks[-1][2] + len(chunk)]
        else:
            blocks.append([float(x[chunk].sum()), float(y[chunk].sum()), len(chunk)])
        while len(blocks) > 1 and blocks[-2][1] / blocks[-2][2] >= blocks[-1][1] / blocks[-1][2]:
            last = blocks.pop()
            blocks[-1] = [a + b for a, b in zip(blocks[-1], last)]
    return [(sx / n, sy / n) for sx, sy, n in blocks]


def _rounded(values: np.ndarray) -> tuple[float, ...]:
    return tuple(round(float(value), 6) for value in values)


def _ridge(standard: np.ndarray, dice: np.ndarray, penalty: float) -> tuple[np.ndarray, float]:
    """Return weights and intercept; the intercept is not penalised."""
    centre, mean = standard.mean(axis=0), dice.mean()
    x = standard - centre
    weights = np.linalg.solve(x.T @ x + penalty * np.eye(x.shape[1]), x.T @ (dice - mean))
    return weights, float(mean - centre @ weights)
