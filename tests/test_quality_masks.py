"""bundle.quality.masks: three networks' masks of one case, and the real ones."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from bundle.errors import InputError
from bundle.quality.curves import auroc
from bundle.quality.masks import VOTE, agreement, agreement_rows

DATA = Path(os.environ.get("PANCREAS_DATA", Path(__file__).parents[2] / "shared" / "data"))

# Bits: 1 truth, 2 network A, 4 B, 8 C. Truth: voxels 0 1 2; A: 0 5; B: 0 1 2; C: 0 1; two of three: 0 1.
CODES = np.array([15, 13, 5, 0, 0, 2], dtype=np.uint8).reshape(6, 1, 1)


@pytest.mark.parametrize(
    ("network", "dice", "own"),
    [
        ("A", 2 / 5, (2 / 5 + 2 / 4) / 2),
        ("B", 1, (2 / 5 + 4 / 5) / 2),
        ("C", 4 / 5, (2 / 4 + 4 / 5) / 2),
        (VOTE, 4 / 5, (2 / 4 + 4 / 5 + 1) / 3),
    ],
)
def test_agreement_is_what_a_hand_gets(network, dice, own):
    rows = {row["network"]: row for row in agreement("x", CODES)}
    assert rows[network]["dice"] == pytest.approx(dice)
    assert rows[network]["own_agreement"] == pytest.approx(own)
    assert rows[network]["agreement"] == pytest.approx((2 / 5 + 2 / 4 + 4 / 5) / 3)


def test_a_folder_without_masks_is_refused(tmp_path):
    with pytest.raises(InputError, match="masks of several networks"):
        agreement_rows(tmp_path)


@pytest.mark.slow
@pytest.mark.skipif(not (DATA / "pancreas_masks").is_dir(), reason="the real masks are not here; set PANCREAS_DATA")
def test_agreement_of_networks_tells_their_bad_masks():
    rows = [row for row in agreement_rows(DATA / "pancreas_masks") if row["network"] != VOTE]
    assert auroc([row["own_agreement"] for row in rows], [row["dice"] < 0.7 for row in rows]) >= 0.90
