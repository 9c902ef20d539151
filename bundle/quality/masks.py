"""Agreement among several networks on real scans, and how well it tells how good each of them is."""

from __future__ import annotations

from itertools import combinations
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np

from bundle.errors import bad_input
from bundle.quality.opinions import dice

TRUTH = 1
NETWORKS = {"A": 2, "B": 4, "C": 8}
VOTE = "majority vote"


def agreement_rows(folder: Path) -> list[dict[str, Any]]:
    """Return four rows per file of ``folder``: one for each network's mask, one for their majority vote.

    Columns: ``case``; ``network``; ``dice``, with the truth; ``own_agreement``, the mean Dice with the other networks
    (with all three for the vote); ``agreement``, the mean Dice of all pairs of networks.

    Args:
        folder: NIfTI files whose bits are 1 truth, 2, 4 and 8 the networks.

    Raises:
        InputError: there is no such file.
    """
    paths = sorted(folder.glob("*.nii.gz"))
    if not paths:
        rule = "the folder holds the masks of several networks"
        raise bad_input(folder, rule, "none", "Set PANCREAS_DATA or --data.")
    return [row for path in paths for row in agreement(path.name.split(".")[0], _codes(path))]


def agreement(case: str, codes: np.ndarray) -> list[dict[str, Any]]:
    """Return the rows of one case from its bits (X, Y, Z)."""
    truth = (codes & TRUTH) > 0
    masks = {name: (codes & bit) > 0 for name, bit in NETWORKS.items()}
    vote = np.sum(list(masks.values()), axis=0) * 2 > len(masks)
    pairs = {frozenset(pair): dice(masks[pair[0]], masks[pair[1]]) for pair in combinations(masks, 2)}
    together = float(np.mean(list(pairs.values())))
    own = {name: float(np.mean([value for pair, value in pairs.items() if name in pair])) for name in masks}
    own[VOTE] = float(np.mean([dice(vote, mask) for mask in masks.values()]))
    return [
        {"case": case, "network": name, "dice": dice(mask, truth), "own_agreement": own[name], "agreement": together}
        for name, mask in (*masks.items(), (VOTE, vote))
    ]


def _codes(path: Path) -> np.ndarray:
    try:
        return np.asarray(nib.load(path).dataobj).astype(np.uint8)  # type: ignore[attr-defined]
    except (OSError, ValueError, nib.filebasedimages.ImageFileError) as error:
        raise bad_input(path, "it can be read as NIfTI", str(error), "Download it again.") from error
