"""bundle.training.progress: the bar over the whole training."""

from __future__ import annotations

import pytest
from ignite.engine import Engine, Events

from bundle.training import TrainingProgress


def trainer(losses, in_list=True) -> Engine:
    outputs = iter(losses)

    def step(engine, batch):
        output = {"loss": next(outputs)}
        return [output] if in_list else output

    return Engine(step)


def test_bar_counts_all_iterations_of_all_epochs():
    engine, progress = trainer([1.0] * 6), TrainingProgress()
    progress.attach(engine)
    engine.run([0, 1, 2], max_epochs=2)
    assert (progress.bar.n, progress.bar.total) == (6, 6)


def test_bar_names_the_stage_and_the_loss(capsys):
    engine, progress = trainer([0.25]), TrainingProgress("localizer")
    progress.attach(engine)
    engine.run([0], max_epochs=1)
    shown = capsys.readouterr().err
    assert "localizer" in shown and "loss=0.250" in shown


@pytest.mark.parametrize("in_list", [True, False])
def test_loss_is_a_running_mean(in_list):
    # 1, then 0.98 * 1 + 0.02 * 2.
    engine, progress = trainer([1.0, 2.0], in_list), TrainingProgress(disable=True)
    progress.attach(engine)
    engine.run([0, 1], max_epochs=1)
    assert progress.mean_loss == pytest.approx(1.02)


def test_bar_starts_where_a_resumed_training_does():
    engine, progress = trainer([1.0] * 3), TrainingProgress()

    def resume(engine):
        engine.load_state_dict({"iteration": 3, "epoch_length": 3, "max_epochs": 2})

    engine.add_event_handler(Events.STARTED, resume)
    progress.attach(engine)
    engine.run([0, 1, 2], max_epochs=2)
    assert (progress.bar.initial, progress.bar.n) == (3, 6)


def test_error_of_the_training_is_not_swallowed():
    engine, progress = trainer(["no number"]), TrainingProgress()
    progress.attach(engine)
    with pytest.raises(ValueError, match="no number"):
        engine.run([0], max_epochs=1)
    assert progress.bar.disable


def test_silent_bar_writes_nothing(capsys):
    engine = trainer([1.0])
    TrainingProgress(disable=True).attach(engine)
    engine.run([0], max_epochs=1)
    assert capsys.readouterr().err == ""
