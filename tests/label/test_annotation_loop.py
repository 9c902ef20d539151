"""An annotator at work: the server proposes a study, the mask is corrected and saved, the server learns from it.

What the annotator would draw is the mask that the scan was rendered from.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest

from bundle.package.contents import NAME
from bundle.rendering.dataset import plan_scans, write_dataset
from bundle.rendering.scanner import ScannerSettings
from tests.label.server import Server, dice, start_server

pytestmark = pytest.mark.label

EPOCHS = 30


@dataclass
class Loop:
    """What was seen in turn.

    Attributes:
        server: still running.
        truth: by study, what the annotator draws.
        scored: by study, the predicted Dice that the server keeps.
        proposed: the studies that the server proposed: before the label, after it.
        dice: of the proposed study's mask: before, and after the training.
        weights: SHA-256 of the weights behind both masks.
    """

    server: Server
    truth: dict[str, Path]
    scored: dict[str, float] = field(default_factory=dict)
    proposed: list[str] = field(default_factory=list)
    dice: list[float] = field(default_factory=list)
    weights: list[dict[str, str]] = field(default_factory=list)

    def propose(self) -> str:
        self.proposed.append(self.server.post("/activelearning/quality")["id"])
        return self.proposed[-1]

    def segment(self, study: str, folder: Path) -> float:
        answer = self.server.infer(study)
        assert answer.status == 200, answer.params
        self.weights.append(answer.params["weights_sha256"])
        return dice(answer.save(folder), self.truth[study])

    def train(self, **settings: Any) -> None:
        self.server.post(f"/train/{NAME}", {"model": NAME, **settings})
        self.server.finish("train")


@pytest.fixture(scope="module")
def loop(tmp_path_factory) -> Iterator[Loop]:
    folder = tmp_path_factory.mktemp("loop")
    settings = ScannerSettings(in_plane_spacing_mm=(1.4, 1.5), slice_thickness_mm=(5.0, 5.0))
    orders = plan_scans(2, seed=1, settings=settings)
    write_dataset(folder / "rendered", orders)
    studies = folder / "studies"
    shutil.copytree(folder / "rendered" / "imagesTr", studies)
    truth = {order.name: only_pancreas(folder / "rendered" / "labelsTr" / f"{order.name}.nii.gz") for order in orders}
    with start_server(folder / "server", studies) as server:
        seen = Loop(server, truth)
        server.post("/scoring/quality")
        server.finish("scoring")
        seen.scored = {name: server.get(f"/datastore/image/info?image={name}")["predicted_dice"] for name in truth}
        study = seen.propose()
        seen.dice.append(seen.segment(study, folder))
        server.save_label(study, truth[study])
        seen.propose()
        seen.train(max_epochs=EPOCHS)
        seen.dice.append(seen.segment(study, folder))
        yield seen


def only_pancreas(label: Path) -> Path:
    """Replace a label map of many organs by that of the pancreas, as an annotator saves it."""
    image = nib.load(label)
    voxels = (np.asanyarray(image.dataobj) == 1).astype(np.uint8)
    nib.save(nib.Nifti1Image(voxels, image.affine), label)
    return label


def test_the_study_with_the_lowest_predicted_dice_is_proposed(loop):
    assert loop.proposed[0] == min(loop.scored, key=loop.scored.__getitem__)


def test_the_next_proposal_is_the_study_without_a_label(loop):
    assert set(loop.proposed) == set(loop.truth)


def test_the_new_model_segments_the_study_better(loop):
    before, after = loop.dice
    print(f"Dice before {before:.3f}, after {after:.3f}")
    assert after > before + 0.05


def test_the_answer_tells_that_the_weights_are_others(loop):
    before, after = loop.weights[:2]
    assert before.keys() == after.keys() == {"model.pt"} and before != after


def test_the_shipped_weights_are_kept(loop):
    shipped = Path(__file__).parents[2] / "models" / "model.pt"
    assert (loop.server.models / "model_shipped.pt").read_bytes() == shipped.read_bytes()


# A second training begins with these weights and anew, and a learning rate of 10 ruins them at once.
def test_a_training_that_makes_it_worse_changes_nothing(loop, tmp_path):
    loop.train(max_epochs=2, learning_rate=10)
    assert loop.segment(loop.proposed[0], tmp_path) == pytest.approx(loop.dice[1], abs=0.01)


def test_dropout_gives_the_unlabelled_study_a_score(loop):
    study = loop.proposed[1]
    loop.server.post("/scoring/epistemic", {"simulation_size": 2})
    loop.server.finish("scoring")
    assert loop.server.get(f"/datastore/image/info?image={study}")["epistemic_entropy"] > 0
    assert loop.server.post("/activelearning/epistemic")["id"] == study
