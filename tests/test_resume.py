"""bundle.training.resume: a stopped training goes on as if it had not been stopped."""

from __future__ import annotations

import pytest
import torch
from ignite.engine import Engine, Events
from monai.handlers import CheckpointSaver, EarlyStopHandler
from torch import nn

from bundle.errors import InputError
from bundle.training import Resume


def stop(engine):
    raise KeyboardInterrupt


def best_metric(engine) -> float:
    return engine.state.metrics["dice"]


class Training:
    """Fit w to random numbers by momentum, two iterations per epoch, the learning rate halved after each."""

    def __init__(self, path, max_epochs=4, lr=0.1, width=1, **settings):
        torch.manual_seed(0)
        self.network = nn.Linear(1, width)
        self.optimizer = torch.optim.SGD(self.network.parameters(), lr=lr, momentum=0.9)
        self.lr_scheduler = torch.optim.lr_scheduler.StepLR(self.optimizer, step_size=1, gamma=0.5)
        self.max_epochs = max_epochs
        self.losses: list[float] = []
        self.rates: list[float] = []
        self.engine = Engine(self.step)
        objects = {"network": self.network, "optimizer": self.optimizer, "lr_scheduler": self.lr_scheduler}
        Resume(str(path), objects | settings.pop("more", {}), **settings).attach(self.engine)
        self.engine.add_event_handler(Events.EPOCH_COMPLETED, self.end_epoch)

    def step(self, engine, batch):
        loss = (self.network(torch.randn(8, 1)) - 3).square().mean()
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()
        self.losses.append(loss.item())
        self.rates.append(self.optimizer.param_groups[0]["lr"])

    def end_epoch(self, engine):
        self.lr_scheduler.step()

    def run(self, stop_at: Events | None = None, epoch: int = 3):
        if stop_at is None:
            self.engine.run([0, 1], max_epochs=self.max_epochs)
            return self
        self.engine.add_event_handler(stop_at(once=epoch), stop)
        with pytest.raises(KeyboardInterrupt):
            self.engine.run([0, 1], max_epochs=self.max_epochs)
        return self


@pytest.fixture
def straight(tmp_path):
    return Training(tmp_path / "straight.pt").run()


@pytest.fixture
def resumed(tmp_path):
    Training(tmp_path / "resume.pt").run(Events.EPOCH_STARTED)
    torch.rand(7)
    return Training(tmp_path / "resume.pt").run()


def test_loss_goes_on_where_it_was(straight, resumed):
    assert resumed.losses == straight.losses[4:]


def test_learning_rate_goes_on_where_it_was(resumed):
    # 0.1, halved after each of the first two epochs.
    assert resumed.rates == pytest.approx([0.025, 0.025, 0.0125, 0.0125])


def test_another_learning_rate_takes_the_place_of_the_one_before(tmp_path):
    Training(tmp_path / "resume.pt").run(Events.EPOCH_STARTED)
    slower = Training(tmp_path / "resume.pt", lr=0.02).run()
    # 0.02, halved after each of the first two epochs, and a third time after the next.
    assert slower.rates == pytest.approx([0.005, 0.005, 0.0025, 0.0025])
    assert slower.lr_scheduler.base_lrs == [0.02]


def test_state_of_another_network_names_what_differs(tmp_path):
    Training(tmp_path / "resume.pt").run(Events.EPOCH_STARTED)
    with pytest.raises(InputError, match="resume.pt: .* this training's network; received size mismatch for weight"):
        Training(tmp_path / "resume.pt", width=2).run()


def test_damaged_state_is_refused(tmp_path):
    Training(tmp_path / "resume.pt").run(Events.EPOCH_STARTED)
    (tmp_path / "resume.pt").write_bytes((tmp_path / "resume.pt").read_bytes()[:200])
    with pytest.raises(InputError, match="resume.pt: .* can be read.*Remove the file"):
        Training(tmp_path / "resume.pt").run()


def test_weights_are_no_state_to_resume_from(tmp_path):
    torch.save(nn.Linear(1, 1).state_dict(), tmp_path / "resume.pt")
    with pytest.raises(InputError, match="received another file"):
        Training(tmp_path / "resume.pt").run()


def test_epochs_go_on_where_they_were(resumed):
    assert (resumed.engine.state.epoch, resumed.engine.state.iteration) == (4, 8)


def test_epoch_that_was_not_completed_is_done_again(tmp_path, straight):
    Training(tmp_path / "resume.pt").run(Events.ITERATION_COMPLETED, epoch=5)
    assert Training(tmp_path / "resume.pt").run().losses == straight.losses[4:]


def test_more_epochs_may_follow_a_finished_training(tmp_path, straight):
    Training(tmp_path / "resume.pt", max_epochs=2).run()
    assert Training(tmp_path / "resume.pt", max_epochs=4).run().losses == straight.losses[4:]


def test_finished_training_is_refused(tmp_path):
    Training(tmp_path / "resume.pt", max_epochs=2).run()
    with pytest.raises(InputError, match="fewer than max_epochs = 2 epochs.*received 2"):
        Training(tmp_path / "resume.pt", max_epochs=2).run()


def test_half_a_file_never_takes_the_place_of_a_whole_one(tmp_path, straight, monkeypatch):
    Training(tmp_path / "resume.pt").run(Events.EPOCH_STARTED)
    broken = Training(tmp_path / "resume.pt")
    with monkeypatch.context() as patch, pytest.raises(OSError, match="disk full"):
        patch.setattr(torch, "save", fail)
        broken.run()
    assert Training(tmp_path / "resume.pt").run().losses == straight.losses[4:]


def fail(states, path):
    path.write_bytes(b"half")
    raise OSError("disk full")


def test_process_that_only_loads_writes_nothing(tmp_path):
    Training(tmp_path / "resume.pt", save=False).run()
    assert list(tmp_path.iterdir()) == []


def test_disabled_handler_neither_loads_nor_saves(tmp_path, straight):
    Training(tmp_path / "resume.pt").run(Events.EPOCH_STARTED)
    written = (tmp_path / "resume.pt").read_bytes()
    assert Training(tmp_path / "resume.pt", enabled=False).run().losses == straight.losses
    assert (tmp_path / "resume.pt").read_bytes() == written


def test_file_holds_tensors_and_plain_values_only(tmp_path):
    Training(tmp_path / "resume.pt").run()
    assert "network" in torch.load(tmp_path / "resume.pt", weights_only=True)


def test_object_missing_in_an_older_file_starts_anew(tmp_path, caplog):
    Training(tmp_path / "resume.pt").run(Events.EPOCH_STARTED)
    Training(tmp_path / "resume.pt", more={"other": nn.Linear(1, 1)}).run()
    assert "has no state of other" in caplog.text


class Validated:
    """A training whose every epoch is validated with the same Dice, with early stop and a saver of the best network."""

    def __init__(self, folder, dice: float, max_epochs: int):
        self.dice = dice
        self.trainer, self.evaluator = Engine(nothing), Engine(nothing)
        self.early_stop = EarlyStopHandler(patience=5, score_function=best_metric)
        self.early_stop.set_trainer(self.trainer)
        self.network = nn.Linear(1, 1)
        saver = CheckpointSaver(
            str(folder),
            {"model": self.network},
            save_key_metric=True,
            key_metric_name="dice",
            key_metric_filename="model.pt",
        )
        Resume(str(folder / "resume.pt"), {"best": saver, "early_stop": self.early_stop, "none": None}).attach(
            self.trainer
        )
        self.evaluator.add_event_handler(Events.EPOCH_COMPLETED, self.measure)
        saver.attach(self.evaluator)
        self.early_stop.attach(self.evaluator)
        self.trainer.add_event_handler(Events.EPOCH_COMPLETED, self.validate)
        self.trainer.run([0], max_epochs=max_epochs)

    def measure(self, engine):
        engine.state.metrics["dice"] = self.dice

    def validate(self, engine):
        self.evaluator.run([0])


def nothing(engine, batch):
    return None


@pytest.mark.parametrize(("dice", "best"), [(0.5, 0), (0.9, 1)])
def test_best_network_before_a_stop_gives_way_to_a_better_one_only(tmp_path, dice, best):
    trainings = [Validated(tmp_path, 0.8, max_epochs=1), Validated(tmp_path, dice, max_epochs=2)]
    saved = torch.load(tmp_path / "model.pt", weights_only=True)
    assert torch.equal(saved["weight"], trainings[best].network.weight)


def test_early_stop_counts_on_after_a_stop(tmp_path):
    # Epoch 1 is the best, epochs 2 and 3 are no better, and so is epoch 4, after the stop.
    Validated(tmp_path, 0.8, max_epochs=3)
    assert Validated(tmp_path, 0.8, max_epochs=4).early_stop._handler.counter == 3
