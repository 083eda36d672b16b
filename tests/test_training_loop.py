"""The training loop, and runs that are interrupted in it."""

import csv
import os
import signal

import keras
import numpy as np
import pytest
import tensorflow as tf
from small_run import STEPS, SmallRun, item, small_network

from scnas_keras.errors import DataError
from scnas_keras.interruption import SIGNALS, Stopped
from scnas_keras.metrics.mean_dice import MeanDice
from scnas_keras.runs import horizon as horizon_module
from scnas_keras.runs.horizon import Horizon
from scnas_keras.training.losses import JaccardLoss
from scnas_keras.training.schedules import Patience

EPOCHS = 3


class Killed(BaseException):
    pass


class At(keras.callbacks.Callback):
    """Does something once after a number of training steps, or of validation batches."""

    def __init__(self, action, step=None, test=None):
        super().__init__()
        self.action, self.step, self.test = action, step, test

    def on_train_batch_end(self, batch, logs=None):
        if self.step is not None:
            self.step -= 1
            if self.step == 0:
                self.action()

    def on_test_batch_end(self, batch, logs=None):
        if self.test is not None:
            self.test -= 1
            if self.test == 0:
                self.action()


class AfterTraining(keras.callbacks.Callback):
    """Keeps all variables as the last training step left them."""

    def on_train_batch_end(self, batch, logs=None):
        variables = [*self.model.variables, *self.model.metrics_variables, *self.model.optimizer.variables]
        self.variables = [keras.ops.convert_to_numpy(v).copy() for v in variables]


def kill():
    raise Killed


def terminate(sent=signal.SIGTERM):
    os.kill(os.getpid(), sent)


@pytest.fixture
def heeded():
    """The signals as a command has them from a terminal, whatever started the tests ignores."""
    before = {sent: signal.getsignal(sent) for sent in SIGNALS}
    for sent in SIGNALS:
        signal.signal(sent, signal.SIG_DFL)
    yield
    for sent, handler in before.items():
        signal.signal(sent, handler)


def assert_equal(one, other):
    for ours, theirs in zip(one[0], other[0], strict=True):
        np.testing.assert_array_equal(ours, theirs)
    assert one[1:] == other[1:]


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    run = SmallRun(tmp_path_factory.mktemp("whole"), EPOCHS)
    run.loop.run()
    return run.outcome


def test_the_loop_learns_what_fit_learns(whole):
    network = small_network()
    network.compile(keras.optimizers.Adam(0.05), JaccardLoss(), metrics=[MeanDice(2)], jit_compile=False)
    stream = tf.data.Dataset.range(10**6).map(item).batch(4)
    validation = tf.data.Dataset.range(4000, 4008).map(item).batch(4)
    fitted = network.fit(stream, epochs=EPOCHS, steps_per_epoch=STEPS, validation_data=validation, verbose=0, shuffle=False).history
    variables, rows, _ = whole
    for ours, theirs in zip(variables, network.get_weights()):
        np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-7)
    for name in ("loss", "dice", "val_loss", "val_dice"):
        assert [row[name] for row in rows] == pytest.approx(fitted[name], rel=1e-5)
    assert rows[-1]["loss"] < rows[0]["loss"]


def test_a_loss_that_is_no_number_ends_the_run(tmp_path):
    class Spoil(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            self.model.loss_tracker.update_state(float("nan"))

    with pytest.raises(DataError, match="epoch 1: the loss is nan, so the weights are lost. Lower the learning rate"):
        SmallRun(tmp_path, 2, callbacks=[Spoil()]).loop.run()


@pytest.mark.parametrize(
    "where",
    [
        pytest.param(place, marks=() if place in ({"step": 1}, {"step": STEPS}, {"step": STEPS + 2}, {"test": 4}) else pytest.mark.nightly)
        for place in [*({"step": k} for k in range(1, 2 * STEPS + 1)), {"test": 1}, {"test": 4}]
    ],
    ids=str,
)
def test_a_run_killed_anywhere_ends_as_if_nothing_had_happened(where, whole, tmp_path):
    with pytest.raises(Killed):
        SmallRun(tmp_path, EPOCHS, callbacks=[At(kill, **where)]).loop.run()
    again = SmallRun(tmp_path, EPOCHS)
    assert again.resumed == (where != {"step": 1})
    again.loop.run()
    assert_equal(again.outcome, whole)
    assert (tmp_path / "history.csv").read_text().count("\n") == EPOCHS + 1


@pytest.mark.parametrize(
    "where, stands", [({"step": 2}, (0, 2)), ({"step": 3}, (0, 3)), ({"test": 1}, (0, 3)), ({"test": 3}, (1, 3))], ids=str
)
def test_sigterm_saves_at_once_and_leaves_with_143(where, stands, whole, tmp_path, caplog):
    before, trained = signal.getsignal(signal.SIGTERM), AfterTraining()
    with pytest.raises(SystemExit) as caught:
        SmallRun(tmp_path, EPOCHS, callbacks=[At(terminate, **where), trained], minutes=60).loop.run()
    assert caught.value.code == 143 and "stopped by SIGTERM" in caplog.text and "the same command" in caplog.text
    assert signal.getsignal(signal.SIGTERM) == before
    again = SmallRun(tmp_path, EPOCHS)
    assert (again.position.epoch, again.position.step) == stands
    for ours, theirs in zip(again.outcome[0], trained.variables, strict=True):  # validation left nothing in what was saved
        np.testing.assert_array_equal(ours, theirs)
    again.loop.run()
    assert_equal(again.outcome, whole)


@pytest.mark.parametrize("sent", SIGNALS, ids=str)
def test_every_signal_that_asks_to_stop_saves_and_leaves_with_its_code(sent, tmp_path, caplog, heeded):
    def ask():
        terminate(sent)
        terminate(signal.SIGTERM)  # schedulers ask again; the first counts

    with pytest.raises(SystemExit) as caught:
        SmallRun(tmp_path, EPOCHS, callbacks=[At(ask, step=2)], minutes=60).loop.run()
    assert caught.value.code == 128 + sent and f"stopped by {sent.name} and saved after 0 epochs and 2 steps" in caplog.text
    assert SmallRun(tmp_path, EPOCHS).position.step == 2


def test_a_second_ctrl_c_ends_at_once(tmp_path, heeded):
    def ask():
        terminate(signal.SIGINT)
        terminate(signal.SIGINT)

    with pytest.raises(Stopped, match="stopped by SIGINT") as caught:
        SmallRun(tmp_path, EPOCHS, callbacks=[At(ask, step=2)], minutes=60).loop.run()
    assert caught.value.code == 130 and not SmallRun(tmp_path, EPOCHS).resumed


def test_what_is_ignored_stays_ignored(tmp_path, heeded):
    """As nohup has it with SIGHUP, and shells with Ctrl-C for what runs in the background."""
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    SmallRun(tmp_path, 1, callbacks=[At(lambda: terminate(signal.SIGHUP), step=1)]).loop.run()
    assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN


class Planted(keras.callbacks.Callback):
    """A Dice of 0 but in the first and in the third epoch, so that its average rises then alone."""

    def on_epoch_end(self, epoch, logs=None):
        logs["val_dice"] = 0.9 if epoch in (0, 2) else 0.0


@pytest.mark.parametrize("killed", [None, STEPS + 2, 4 * STEPS + 1, 6 * STEPS])
def test_a_run_whose_dice_stands_still_ends_at_the_same_epoch_however_it_is_interrupted(killed, tmp_path):
    def run(*callbacks):
        patience = Patience(3)
        return SmallRun(tmp_path, 100, callbacks=[Planted(), patience, *callbacks], parts={"patience": patience})

    if killed:
        with pytest.raises(Killed):
            run(At(kill, step=killed)).loop.run()
    last = run()
    last.loop.run()
    assert last.resumed == bool(killed) and last.position.finished and len(last.history.rows) == 6


@pytest.mark.parametrize("moment", ["callbacks", "saved"])
def test_a_run_interrupted_at_its_very_end_gets_no_epoch_more(moment, whole, tmp_path):
    """By SIGTERM after the last epoch, or by being killed between the savings that follow it."""

    class Terminate(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            if epoch == EPOCHS - 1:
                terminate()

    run = SmallRun(tmp_path, EPOCHS, callbacks=[Terminate()] if moment == "callbacks" else [])
    save = run.checkpoint.save

    def save_and_die(*arguments):
        save(*arguments)
        if run.position.epoch == EPOCHS:
            kill()

    if moment == "saved":
        run.position.best = 1.0  # else the best one is written first, and the last one of the same step is older
        run.checkpoint.save = save_and_die
    with pytest.raises(SystemExit if moment == "callbacks" else Killed):
        run.loop.run()
    again = SmallRun(tmp_path, EPOCHS)
    assert again.position.finished
    again.loop.run()
    assert_equal(again.outcome[:2], whole[:2])


def test_a_finished_run_has_nothing_left_to_do(whole, tmp_path):
    SmallRun(tmp_path, EPOCHS).loop.run()
    again = SmallRun(tmp_path, EPOCHS, callbacks=[At(kill, step=1)])
    again.loop.run()
    assert again.position.finished and again.history.rows == whole[1]


def test_a_callback_that_stops_the_run_stops_it_for_good(tmp_path):
    class Stop(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            self.model.stop_training = epoch == 1

    SmallRun(tmp_path, 5, callbacks=[Stop()]).loop.run()
    again = SmallRun(tmp_path, 5)
    again.loop.run()
    assert len(again.history.rows) == 2


class Counted(keras.callbacks.Callback):
    """Ten seconds after every step by a clock that is set by hand; keeps the share of the run that is over after each."""

    def __init__(self, monkeypatch):
        super().__init__()
        self.now, self.shares = 1000.0, []
        monkeypatch.setattr(horizon_module.time, "monotonic", lambda: self.now)

    def on_train_batch_end(self, batch, logs=None):
        self.now += 10

    def run(self, folder, *callbacks, tracing=0.0):
        """A run of 45 seconds, in which tracing a step takes so many: the Python of a step runs only then."""
        self.horizon = Horizon(1, budget_seconds=45)
        run = SmallRun(folder, 1, callbacks=[self, *callbacks], horizon=self.horizon)
        for name in ("train_step", "test_step"):
            setattr(run.model, name, self._slow(getattr(run.model, name), tracing))
        return run

    def _slow(self, step, tracing):
        def slow(data):
            self.now += tracing
            return step(data)

        return slow

    def on_train_batch_begin(self, batch, logs=None):
        self.shares.append(self.horizon.fraction)


BUDGET_SHARES = pytest.approx([0, 10 / 45, 20 / 45, 30 / 45, 40 / 45])


@pytest.mark.parametrize("tracing", [0.0, 1e4])
def test_a_budget_ends_inside_an_epoch_and_tracing_does_not_use_it_up(tracing, tmp_path, monkeypatch):
    clock = Counted(monkeypatch)
    run = clock.run(tmp_path, tracing=tracing)
    run.loop.run()
    assert len(run.history.rows) == 2 and int(run.model.optimizer.iterations) == 5
    assert {"loss", "val_dice"} <= run.history.rows[1].keys()
    assert clock.shares == BUDGET_SHARES and clock.now >= 1050 + 2 * tracing
    assert [row["seconds_left"] for row in timings(tmp_path)] == ["15.0", "0.0"]


def test_a_resumed_budget_does_not_pay_for_tracing_again(tmp_path, monkeypatch):
    clock = Counted(monkeypatch)
    with pytest.raises(SystemExit):
        clock.run(tmp_path, At(terminate, step=2), tracing=1e4).loop.run()
    clock.now += 1e5
    run = clock.run(tmp_path, tracing=1e4)
    run.loop.run()
    assert len(run.history.rows) == 2 and int(run.model.optimizer.iterations) == 5
    assert clock.shares == BUDGET_SHARES


def timings(folder):
    with open(folder / "timings.csv", newline="") as stream:
        return list(csv.DictReader(stream))


def test_a_phase_that_begins_later_is_traced_off_the_clock_too(tmp_path, monkeypatch):
    class Switch(keras.callbacks.Callback):
        def on_epoch_begin(self, epoch, logs=None):
            self.model.phase = "search" if epoch else "warm_up"

    clock = Counted(monkeypatch)
    run = clock.run(tmp_path, Switch(), tracing=1e4)
    run.loop.run()
    assert int(run.model.optimizer.iterations) == 5 and clock.now >= 1050 + 3e4


def test_a_phase_has_a_function_of_its_own(tmp_path):
    class Switch(keras.callbacks.Callback):
        def on_epoch_begin(self, epoch, logs=None):
            self.model.phase = "warm_up" if epoch < 2 else "search"

    run = SmallRun(tmp_path, EPOCHS, callbacks=[Switch()])
    traced, step = [], run.model.train_step

    def train_step(data):
        traced.append(run.model.phase)
        return step(data)

    run.model.train_step = train_step
    run.loop.run()
    assert list(dict.fromkeys(traced)) == ["warm_up", "search"] and len(traced) < EPOCHS * STEPS
