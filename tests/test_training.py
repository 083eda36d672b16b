"""Loss, metric, schedules, callbacks and the run's folder."""

import contextlib
import csv
import dataclasses
import json
import os
import types

import keras
import numpy as np
import pytest
import tensorflow as tf

from scnas_keras.errors import ConfigError, DataError, OutputError
from scnas_keras.metrics.mean_dice import MeanDice
from scnas_keras.progress import clock
from scnas_keras.retrain import RetrainConfig
from scnas_keras.runs import callbacks
from scnas_keras.runs import horizon as horizon_module
from scnas_keras.runs.callbacks import History, Pace, Scalars, Timings
from scnas_keras.runs.horizon import Horizon
from scnas_keras.runs.pace import measured
from scnas_keras.runs.run_folder import RunFolder, open_run
from scnas_keras.training.losses import JaccardLoss
from scnas_keras.training.schedules import Plateau


def numpy_jaccard(labels, logits, smooth=1e-5):
    """The distance of every item, by the formula and in loops."""
    items = []
    for item, image in zip(labels, logits):
        shifted = np.exp(image - image.max(-1, keepdims=True))
        p = shifted / shifted.sum(-1, keepdims=True)
        distances = []
        for c in range(image.shape[-1]):
            g = (item == c).astype(float)
            overlap, union = (p[..., c] * g).sum(), (p[..., c] ** 2 + g**2 - p[..., c] * g).sum()
            distances.append(1 - (overlap + smooth) / (union + smooth))
        items.append(np.mean(distances))
    return np.array(items)


def test_jaccard_of_two_voxels_by_hand():
    """p = (.8 .2), (.4 .6) and labels 0, 1. Class 0: .8 / (.64 + .16 + 1 - .8) = .8. Class 1: .6 / (.04 + .36 + 1 - .6) = .75."""
    logits = np.log([[[0.8, 0.2], [0.4, 0.6]]])
    labels = np.array([[0, 1]])
    assert float(JaccardLoss(smooth=0, dtype="float64")(labels, logits)) == pytest.approx((0.2 + 0.25) / 2, abs=1e-12)
    assert float(JaccardLoss()(labels, logits)) == pytest.approx(0.225, abs=1e-4)


@pytest.mark.parametrize("space", [(5, 4, 3), (6, 5)], ids=["3d", "2d"])
def test_jaccard_is_numpys(space):
    rng = np.random.default_rng(0)
    logits, labels = rng.normal(size=(3, *space, 4)) * 3, rng.integers(0, 4, (3, *space))
    expected = numpy_jaccard(labels, logits)
    items = JaccardLoss(dtype="float64", reduction=None)(labels, logits)
    np.testing.assert_allclose(items, expected, atol=1e-12)
    assert float(JaccardLoss()(labels.astype("uint8"), logits.astype("float32"))) == pytest.approx(expected.mean(), abs=1e-6)


def test_jaccard_of_half_precision_logits_is_computed_in_float32():
    rng = np.random.default_rng(1)
    logits, labels = rng.normal(size=(1, 16, 16, 16, 2)).astype("float16"), rng.integers(0, 2, (1, 16, 16, 16))
    assert float(JaccardLoss()(labels, logits)) == pytest.approx(numpy_jaccard(labels, logits.astype(float))[0], abs=1e-5)


def test_jaccard_at_its_ends():
    labels = np.arange(8).reshape(1, 2, 2, 2) % 2
    right = 50.0 * np.eye(2)[labels]
    assert float(JaccardLoss()(labels, right)) == pytest.approx(0, abs=1e-6)
    assert float(JaccardLoss()(labels, right[..., ::-1])) == pytest.approx(1, abs=1e-5)


def test_a_class_neither_present_nor_predicted_has_no_distance():
    labels = np.array([[0, 1, 1]])
    two = np.log([[[0.7, 0.3], [0.4, 0.6], [0.1, 0.9]]])
    three = np.concatenate([two, np.full((1, 3, 1), -200.0)], axis=-1)
    loss = JaccardLoss(dtype="float64")
    assert float(loss(labels, three)) == pytest.approx(float(loss(labels, two)) * 2 / 3, abs=1e-12)


def test_loss_and_metric_survive_their_config():
    loss = keras.losses.deserialize(keras.losses.serialize(JaccardLoss(smooth=0.5)))
    assert isinstance(loss, JaccardLoss) and loss.smooth == 0.5
    metric = keras.metrics.deserialize(keras.metrics.serialize(MeanDice(5)))
    assert isinstance(metric, MeanDice) and metric.num_classes == 5


def test_dice_pools_its_batches():
    rng = np.random.default_rng(2)
    batches = [(rng.integers(0, 3, (2, 4, 3, n)), rng.normal(size=(2, 4, 3, n, 3))) for n in (2, 5)]
    metric = MeanDice(3)
    for labels, logits in batches:
        metric.update_state(labels, logits)
    actual = np.concatenate([labels.ravel() for labels, _ in batches])
    predicted = np.concatenate([logits.argmax(-1).ravel() for _, logits in batches])
    dice = [2 * ((actual == c) & (predicted == c)).sum() / ((actual == c).sum() + (predicted == c).sum()) for c in (1, 2)]
    np.testing.assert_allclose(metric.per_class(), dice, rtol=1e-6)
    assert float(metric.result()) == pytest.approx(np.mean(dice), rel=1e-6)
    assert float(metric.result()) != pytest.approx(np.mean([_dice_of(labels, logits) for labels, logits in batches]), rel=1e-3)


def _dice_of(labels, logits):
    metric = MeanDice(3)
    metric.update_state(labels, logits)
    return float(metric.result())


def test_dice_leaves_out_what_was_never_seen():
    metric = MeanDice(4)
    assert float(metric.result()) == 0
    metric.update_state(np.array([[0, 1, 1, 0]]), np.eye(4)[[[0, 1, 0, 0]]])
    assert float(metric.result()) == pytest.approx(2 / 3)  # of class 1 alone
    metric.update_state(np.array([[0]]), np.eye(4)[[[3]]])  # predicted, never present
    assert float(metric.result()) == pytest.approx((2 / 3 + 0) / 2)
    metric.reset_state()
    assert float(metric.result()) == 0 and not np.any(metric.per_class())


@pytest.fixture
def now(monkeypatch):
    """A clock to be set by hand."""
    time = types.SimpleNamespace(seconds=1000.0)
    monkeypatch.setattr(horizon_module.time, "monotonic", lambda: time.seconds)
    return time


def test_horizon_of_epochs(now):
    horizon = Horizon(epochs=8)
    horizon.begin()
    assert horizon.fraction == 0 and horizon.planned_epochs == 8 and np.isnan(horizon.seconds_left)
    now.seconds, horizon.done = 1030.0, 2
    assert horizon.fraction == 0.25 and horizon.seconds_left == 90
    now.seconds, horizon.done = 1e9, 8
    assert horizon.fraction == 1 and horizon.seconds_left == 0 and horizon.over
    assert Horizon(epochs=8, done=9).fraction == 1  # schedules are defined from 0 to 1


def test_horizon_of_time_counts_from_the_first_epoch(now):
    horizon = Horizon(epochs=8, budget_seconds=80)
    assert not horizon.over and horizon.seconds_left == 80
    now.seconds += 500
    horizon.begin()
    assert horizon.fraction == 0 and horizon.planned_epochs == 1 and horizon.seconds_left == 80
    now.seconds, horizon.done = 1520.0, 2
    assert horizon.fraction == pytest.approx(0.25) and horizon.planned_epochs == pytest.approx(8) and not horizon.over
    horizon.begin()  # once is enough
    now.seconds = 1580.0
    assert horizon.over and horizon.fraction == 1 and horizon.seconds_left == 0
    now.seconds = 1700.0
    assert horizon.fraction == 1 and horizon.seconds_left == 0


def test_a_marked_clock_stands_still_and_tells_all_hosts_the_same(now):
    first, other = Horizon(epochs=8, budget_seconds=100), Horizon(epochs=8, budget_seconds=100)
    other.begin()
    now.seconds += 7
    first.begin()
    now.seconds += 20
    spent = first.spent
    now.seconds += 3
    for horizon in (first, other):
        horizon.done = 2
        horizon.mark(spent)
        now.seconds += 5
        assert horizon.fraction == pytest.approx(0.2) and horizon.seconds_left == pytest.approx(80) and not horizon.over


def test_a_paused_clock_leaves_out_what_happens_meanwhile(now):
    horizon = Horizon(epochs=8, budget_seconds=100)
    horizon.begin()
    now.seconds += 10
    horizon.mark(horizon.spent)
    now.seconds += 5
    with horizon.paused():
        now.seconds += 1000
        assert horizon.fraction == 0.1  # as marked
    now.seconds += 5
    assert horizon.spent == 20 and horizon.fraction == 0.1
    horizon.mark(horizon.spent)
    assert horizon.fraction == 0.2 and horizon.seconds_left == 80


def test_a_horizon_goes_on_without_the_time_between(now):
    horizon = Horizon(epochs=8)
    now.seconds += 5
    horizon.begin()
    now.seconds, horizon.done = 1025.0, 2
    state = json.loads(json.dumps(horizon.state))
    assert state == {"done": 2, "seconds_since": 20}
    now.seconds = 5000.0
    again = Horizon(epochs=8)
    again.state = state | {"seconds_before": 7.0}  # of the version before: it doesn't count any more
    assert again.state == state
    now.seconds = 6000.0
    again.begin()
    assert again.done == 2 and again.spent == 20 and again.seconds_left == 60
    now.seconds += 4
    assert again.spent == 24


@pytest.mark.parametrize(
    "seconds, text",
    [(0, "0:00"), (5.4, "0:05"), (59.6, "1:00"), (245, "4:05"), (3599.7, "1:00:00"), (3723, "1:02:03"), (float("nan"), "?")],
)
def test_clock(seconds, text):
    assert clock(seconds) == text


def stub_model(rate=1.0):
    model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])
    model.compile(keras.optimizers.SGD(rate), "mse")
    return model


def epochs_until_lower(horizon, share, pace=lambda epoch: None):
    """How many epochs after the best one the rate falls, with a loss that stands still."""
    model, plateau = stub_model(), Plateau(horizon, share, factor=0.1)
    plateau.set_model(model)
    plateau.on_train_begin()
    for epoch in range(100):
        horizon.done = epoch + 1
        pace(epoch)
        plateau.on_epoch_end(epoch, {"loss": 0.5})
        if float(model.optimizer.learning_rate) < 1:
            assert float(model.optimizer.learning_rate) == pytest.approx(0.1)
            return epoch
    raise AssertionError("the rate never fell")


@pytest.mark.parametrize("epochs, share, patience", [(200, 0.1, 20), (500, 0.06, 30), (10, 0.1, 3), (101, 0.1, 11)])
def test_patience_is_a_share_of_the_run(epochs, share, patience):
    assert epochs_until_lower(Horizon(epochs), share) == patience


def test_patience_follows_the_pace_of_a_budget(now):
    horizon = Horizon(epochs=8, budget_seconds=500)
    horizon.begin()

    def pace(epoch):  # 10 seconds each: 50 in all
        now.seconds = 1000.0 + 10 * (epoch + 1)

    assert epochs_until_lower(horizon, 0.2, pace) == 10


def test_a_falling_loss_keeps_the_rate():
    model, plateau = stub_model(), Plateau(Horizon(10), 0.1, factor=0.1)
    plateau.set_model(model)
    plateau.on_train_begin()
    for epoch in range(10):
        plateau.on_epoch_end(epoch, {"loss": 1.0 - 0.1 * epoch})
    assert float(model.optimizer.learning_rate) == 1


def test_history_is_a_table_at_any_time(tmp_path):
    history = History(tmp_path / "history.csv", ("loss", "dice"))
    for epoch, logs in enumerate([{"loss": np.float32(0.5), "other": 1}, {"dice": 0.25, "loss": 0.125}]):
        history.on_epoch_end(epoch, logs)
        with open(tmp_path / "history.csv", newline="") as stream:
            rows = list(csv.DictReader(stream))
        assert len(rows) == epoch + 1 and list(rows[0]) == ["epoch", "loss", "dice"]
    assert [list(row.values()) for row in rows] == [["1", "0.5", ""], ["2", "0.125", "0.25"]]
    assert history.rows == [{"epoch": 1, "loss": 0.5}, {"epoch": 2, "loss": 0.125, "dice": 0.25}]


def test_history_writes_no_file_on_other_hosts_than_the_first():
    history = History(None, ("loss",))
    history.on_epoch_end(0, {"loss": 1.0})
    assert history.rows == [{"epoch": 1, "loss": 1.0}]


def test_pace_counts_epochs_and_ends_a_run(now):
    horizon, lines = Horizon(epochs=1, budget_seconds=60), []
    pace = Pace(horizon, steps=2, describe=lambda logs: lines.append(logs) or "fine")
    pace.set_model(model := types.SimpleNamespace(stop_training=False))
    pace.on_train_begin()
    for epoch, stopped in enumerate((False, True)):
        pace.on_epoch_begin(epoch)
        now.seconds += 30
        pace.on_train_batch_end(0)
        pace.on_epoch_end(epoch, {"loss": 1.0})
        assert horizon.done == epoch + 1 and model.stop_training == stopped
    assert len(lines) == 2


def test_pace_tells_of_the_first_step_and_each_minute_where_no_bar_is(now, monkeypatch, capsys):
    said = []
    monkeypatch.setattr(callbacks.logging, "info", lambda text, *values: said.append(text % values))
    for shown in (True, False):
        pace = Pace(Horizon(epochs=9), steps=20, describe=lambda logs: "fine", shown=shown)
        pace.set_model(types.SimpleNamespace(stop_training=False))
        pace.on_train_begin()
        pace.on_epoch_begin(0)
        for step in range(10):
            now.seconds += 25
            pace.on_train_batch_end(step)
    first, *others = said
    assert "first step is done, after 0:25" in first
    assert [line.partition("  left")[0] for line in others] == [f"epoch 1  step {step}/20" for step in (4, 7, 10)]


def test_timings_are_appended(tmp_path, monkeypatch):
    seconds = [100.0]
    monkeypatch.setattr(callbacks.time, "monotonic", lambda: seconds[0])
    for epoch in range(2):  # each as a process of its own
        horizon = Horizon(4, done=epoch)
        horizon.begin()
        timings = Timings(tmp_path / "timings.csv", horizon)
        timings.on_epoch_begin(epoch)
        for batch in range(2):
            seconds[0] += 3
            timings.on_train_batch_end(batch)
        seconds[0] += 1
        horizon.done = epoch + 1
        timings.on_epoch_end(epoch, {})
    with open(tmp_path / "timings.csv", newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert [(row["epoch"], row["steps"], row["seconds"], row["seconds_per_step"], row["seconds_left"]) for row in rows] == [
        ("1", "2", "7.0", "3.0", "21.0"),
        ("2", "2", "7.0", "3.0", "7.0"),
    ]
    assert all(int(row["peak_bytes"]) > 10**7 for row in rows)


def test_steps_that_were_traced_are_not_timed(tmp_path, monkeypatch):
    seconds = [100.0]
    for module in (callbacks, horizon_module):
        monkeypatch.setattr(module.time, "monotonic", lambda: seconds[0])
    horizon = Horizon(4)
    horizon.begin()
    run = RunFolder(tmp_path, None, 0.0)
    timings = Timings(tmp_path / "timings.csv", horizon)
    for epoch, (traced, steps) in enumerate([(1, 3), (1, 1), (0, 0), (0, 2)]):  # of the third only the validation was left
        timings.on_epoch_begin(epoch)
        for batch in range(steps):
            with horizon.paused() if batch < traced else contextlib.nullcontext():
                seconds[0] += 50 if batch < traced else 2
            timings.on_train_batch_end(batch)
        seconds[0] += 1
        timings.on_epoch_end(epoch, {})
    with open(tmp_path / "timings.csv", newline="") as stream:
        assert [(row["steps"], row["seconds_per_step"]) for row in csv.DictReader(stream)] == [
            ("2", "2.0"),
            ("0", ""),
            ("0", ""),
            ("2", "2.0"),
        ]
    found = measured(run)
    assert found["seconds_per_step"] == 2.0 and found["seconds_per_epoch"] == 5.0


def test_nothing_is_said_of_a_step_where_none_was_timed(tmp_path):
    (tmp_path / "timings.csv").write_text(",".join(Timings.columns) + "\n1,0,3.0,0.0,2000,0\n")
    found = measured(RunFolder(tmp_path, None, 0.0))
    assert found == {"seconds_per_step": None, "seconds_per_epoch": 3.0, "training_peak_bytes": 2000}


def test_tensorboard_gets_the_values_of_the_history(tmp_path):
    scalars = Scalars(tmp_path, ("loss", "val_loss", "learning_rate"))
    for epoch in range(2):
        scalars.on_epoch_end(epoch, {"loss": 0.5 + epoch, "val_loss": 0.25, "learning_rate": 0.125, "other": 1.0})
    scalars.on_train_end()
    found = {}
    for part in ("train", "validation"):
        (file,) = (tmp_path / part).iterdir()
        for event in tf.data.TFRecordDataset(str(file)):
            event = tf.compat.v1.Event.FromString(event.numpy())
            for value in event.summary.value:
                found[part, value.tag, event.step] = float(tf.make_ndarray(value.tensor))
    expected = {
        ("train", "epoch_loss"): (0.5, 1.5),
        ("train", "epoch_learning_rate"): (0.125,) * 2,
        ("validation", "epoch_loss"): (0.25,) * 2,
    }
    assert found == {(*key, epoch): values[epoch] for key, values in expected.items() for epoch in range(2)}


def config(workdir, **changes):
    return RetrainConfig(task="phantom", workdir=str(workdir), **changes)


def tree(folder):
    return {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def refused(folder, settings, match):
    """Opens a run that must be refused without a change; returns the message."""
    before = tree(folder)
    with pytest.raises(ConfigError, match=match) as caught:
        open_run(settings.workdir, settings)
    assert tree(folder) == before
    return str(caught.value)


@pytest.mark.parametrize("exists", [True, False])
def test_a_new_run_leaves_its_flags(exists, tmp_path):
    folder = tmp_path / "deep" / "run"
    if exists:
        folder.mkdir(parents=True)
    run = open_run(str(folder), config(folder, epochs=7))
    assert run.path == folder and run["x.csv"] == folder / "x.csv"
    assert not tree(folder) if exists else not folder.exists()
    run.begin(config(folder, epochs=7))
    assert {str(path) for path in tree(folder)} == {"flags.cfg", "log.txt", "run.lock"}
    assert "--epochs=7\n" in (folder / "flags.cfg").read_text()


def test_an_unfinished_run_of_the_same_flags_is_taken_again(tmp_path):
    open_run(str(tmp_path), config(tmp_path)).begin(config(tmp_path))
    (tmp_path / "history.csv").write_text("epoch\n")
    before = tree(tmp_path)
    assert open_run(str(tmp_path), config(tmp_path)).path == tmp_path
    assert tree(tmp_path) == before


def test_a_folder_is_locked_while_a_run_is_at_it(tmp_path):
    settings = config(tmp_path)
    run = open_run(str(tmp_path), settings)
    second = open_run(str(tmp_path), settings)
    run.begin(settings)
    for attempt in (lambda: second.begin(settings), lambda: open_run(str(tmp_path), settings)):
        with pytest.raises(ConfigError, match=f"process {os.getpid()} on .* is running there"):
            attempt()
    del run  # as the end of its process would
    resumed = open_run(str(tmp_path), settings)
    resumed.write_summary(settings, {})
    assert not (tmp_path / "run.lock").exists()


def test_a_folder_that_cant_be_made_is_told_as_such():
    folder = "/proc/no-run"  # the file system refuses it, whatever the rights say
    run = open_run(folder, config(folder))
    with pytest.raises(OutputError, match="/proc/no-run/run.lock: can't be written"):
        run.begin(config(folder))


def test_a_run_that_began_or_finished_while_another_prepared_is_not_run_over(tmp_path):
    settings, others = config(tmp_path, epochs=7), config(tmp_path, epochs=9)
    first, second, third = (open_run(str(tmp_path), own) for own in (settings, others, settings))
    first.begin(settings)
    del first  # killed
    with pytest.raises(ConfigError, match="another run .--epochs: 7 there, 9 here"):
        second.begin(others)
    del second
    third.begin(settings)
    late = RunFolder(tmp_path, "", 0.0)  # opened before the summary was there
    third.write_summary(settings, {})
    with pytest.raises(ConfigError, match="finished"):
        late.begin(settings)


def test_a_folder_with_what_a_dead_process_began_alone_is_free(tmp_path):
    (tmp_path / "run.lock").write_text("process 1 on nowhere")
    (tmp_path / ".flags.cfg.x1y2").write_text("--ta")
    open_run(str(tmp_path), config(tmp_path)).begin(config(tmp_path))
    assert (tmp_path / "run.lock").read_text().startswith(f"process {os.getpid()} on ")


def test_a_run_may_have_been_moved(tmp_path):
    open_run(str(tmp_path / "a"), config(tmp_path / "a")).begin(config(tmp_path / "a"))
    (tmp_path / "a").rename(tmp_path / "b")
    assert open_run(str(tmp_path / "b"), config(tmp_path / "b")).path == tmp_path / "b"


def test_a_finished_run_is_refused(tmp_path):
    settings = config(tmp_path, epochs=7, patch_size=(8, 8, 16))
    run = open_run(str(tmp_path), settings)
    run.begin(settings)
    run.write_summary(settings, {"mean_dice": 0.5})
    summary = json.loads((tmp_path / "summary.json").read_text())
    assert summary["flags"]["epochs"] == 7 and summary["flags"]["patch_size"] == [8, 8, 16]
    assert summary["result"] == {"mean_dice": 0.5} and summary["versions"]["keras"] == keras.__version__
    message = refused(tmp_path, settings, "finished")
    assert str(tmp_path / "summary.json") in message and "Nothing was changed" in message


def test_a_run_with_other_flags_is_refused_and_they_are_named(tmp_path):
    settings = config(tmp_path, epochs=7, seed=1)
    open_run(str(tmp_path), settings).begin(settings)
    changed = dataclasses.replace(settings, epochs=9, spacing=(1.0, 1.0, 2.0))
    message = refused(tmp_path, changed, "another run")
    assert "--epochs: 7 there, 9 here" in message and "--spacing: auto there, 1.0,1.0,2.0 here" in message
    assert "--seed" not in message and f"--flagfile={tmp_path / 'flags.cfg'}" in message


def test_another_run_that_is_finished_is_told_as_such(tmp_path):
    settings = config(tmp_path, epochs=7)
    run = open_run(str(tmp_path), settings)
    run.begin(settings)
    run.write_summary(settings, {})
    message = refused(tmp_path, dataclasses.replace(settings, epochs=9), "another run, which is finished .--epochs: 7 there, 9 here")
    assert "--flagfile" not in message


def test_a_process_at_another_run_is_told_first(tmp_path):
    settings = config(tmp_path, epochs=7)
    run = open_run(str(tmp_path), settings)
    run.begin(settings)
    assert "another run" not in refused(tmp_path, dataclasses.replace(settings, epochs=9), f"process {os.getpid()} on .* is running there")


@pytest.mark.parametrize("content", [b"null", b"{}", b"", b"\xff\xfe\x00", b'{"result": []}'])
def test_a_damaged_summary_is_no_finished_run(tmp_path, content):
    settings = config(tmp_path)
    open_run(str(tmp_path), settings).begin(settings)
    (tmp_path / "summary.json").write_bytes(content)
    with pytest.raises(DataError, match=r"summary.json: .*found.*Restore it from a copy, or move it away\."):
        open_run(str(tmp_path), settings)
    assert (tmp_path / "summary.json").read_bytes() == content


def test_folders_that_are_no_runs_are_refused(tmp_path):
    (tmp_path / "letters").mkdir()
    (tmp_path / "letters" / "dear.txt").write_text("Dear")
    assert "Nothing was changed" in refused(tmp_path / "letters", config(tmp_path / "letters"), "not a run's")
    assert "file" in refused(tmp_path, config(tmp_path / "letters" / "dear.txt"), "name a folder")
    refused(tmp_path, config(tmp_path / "letters" / "dear.txt" / "run"), "dear.txt is no folder that can be written to; name another")
    with pytest.raises(ConfigError, match="--workdir=DIR"):
        open_run(None, RetrainConfig(task="phantom"))
