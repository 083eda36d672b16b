"""Learning rates over a run against written-out numbers, and second starts."""

import dataclasses
import json
import types

import keras
import numpy as np
import pytest
import tensorflow as tf
from small_run import small_network

from scnas_keras.retrain.optimizers import make_optimizer
from scnas_keras.retrain.recipes import PRESETS
from scnas_keras.runs import horizon as horizon_module
from scnas_keras.runs.horizon import Horizon
from scnas_keras.training.learner import Learner
from scnas_keras.training.losses import JaccardLoss
from scnas_keras.training.schedules import LEAST_RATE, Collapse, Cosine, Patience, Plateau, Poly, start_again


@pytest.fixture
def now(monkeypatch):
    """A clock to be set by hand."""
    time = types.SimpleNamespace(seconds=1000.0)
    monkeypatch.setattr(horizon_module.time, "monotonic", lambda: time.seconds)
    return time


def stub_model(rate=1.0):
    model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])
    model.compile(keras.optimizers.SGD(rate), "mse")
    return model


def rate_of(model):
    return float(keras.ops.convert_to_numpy(model.optimizer.learning_rate))


def begun(schedule, model):
    schedule.set_model(model)
    schedule.on_train_begin()
    return schedule


def poly_rates(poly, model, horizon, epochs):
    rates = []
    for epoch in epochs:
        horizon.done = epoch
        poly.on_epoch_begin(epoch)
        poly.on_train_batch_begin(0)
        rates.append(rate_of(model))
        poly.on_epoch_end(epoch, {})
    return rates


def test_poly_over_epochs():
    """nnU-Net's rates of a run of ten epochs, 0.01 (1 - e / 10) ^ 0.9."""
    horizon, model = Horizon(10), stub_model(0.01)
    poly = begun(Poly(horizon, 0.01), model)
    expected = [0.01, 0.0090953, 0.0081805, 0.0072543, 0.0063144, 0.0053589, 0.0043840, 0.0033838, 0.0023492, 0.0012589]
    np.testing.assert_allclose(poly_rates(poly, model, horizon, range(10)), expected, rtol=2e-4)
    poly.restart(0.001)
    np.testing.assert_allclose(poly_rates(poly, model, horizon, [5]), [0.00053589], rtol=1e-4)
    again = begun(Poly(horizon, 0.01), model)
    again.state = json.loads(json.dumps(poly.state))
    np.testing.assert_allclose(poly_rates(again, model, horizon, [5]), [0.00053589], rtol=1e-4)


def test_cosine_over_epochs():
    """Of 0.04: all of it, 0.04 (2 + sqrt 2) / 4, a half, 0.04 (2 - sqrt 2) / 4; a run that is extended goes on by its new length."""
    horizon, model = Horizon(4), stub_model(0.04)
    cosine = begun(Cosine(horizon, 0.04), model)
    np.testing.assert_allclose(poly_rates(cosine, model, horizon, range(4)), [0.04, 0.03414214, 0.02, 0.00585786], rtol=1e-6)
    horizon.epochs = 8
    np.testing.assert_allclose(poly_rates(cosine, model, horizon, [4, 6, 8]), [0.02, 0.00585786, 0], atol=1e-8)
    cosine.restart(0.004)
    again = begun(Cosine(horizon, 0.04), model)
    again.state = json.loads(json.dumps(cosine.state))
    np.testing.assert_allclose(poly_rates(again, model, horizon, [4]), [0.002], rtol=1e-6)


def test_cosine_by_wall_time_is_set_before_every_step(now):
    horizon, model = Horizon(1, budget_seconds=60), stub_model()
    cosine = begun(Cosine(horizon, 0.1), model)
    horizon.begin()
    now.seconds += 20
    cosine.on_train_batch_begin(0)
    assert rate_of(model) == pytest.approx(0.075)


def test_poly_by_wall_time_is_set_before_every_step(now):
    """80 seconds from the first epoch on: after 10 of them an eighth of the schedule is over."""
    horizon, model = Horizon(1, budget_seconds=80), stub_model()
    poly, rates = begun(Poly(horizon, 0.1), model), []
    now.seconds += 20
    horizon.begin()
    for done, seconds in [(0, 0), (0, 10), (1, 20), (1, 40), (2, 80)]:
        horizon.done, now.seconds = done, 1020.0 + seconds
        poly.on_train_batch_begin(0)
        rates.append(rate_of(model))
    shares = [0, 0.125, 0.25, 0.5, 1]
    np.testing.assert_allclose(rates, [0.1 * (1 - share) ** 0.9 for share in shares], rtol=1e-5)
    counted = begun(Poly(Horizon(2, done=1), 0.1), model)
    counted.on_train_batch_begin(0)
    assert rate_of(model) == rates[-1]  # epochs set it once each


LOSSES = [5, 4, 4, 4, 4, 3, 3.5, 3.5, 3.5, 3.5, 3.5, 3.5, 3.5, 3.5, 3.5, 3.5, 3.5, 3.5, 3.5, 3.5]


def plateau_rates(plateau, model, horizon, losses):
    rates = []
    for loss in losses:
        plateau.on_epoch_end(horizon.done, {"loss": loss})
        horizon.done += 1
        rates.append(rate_of(model))
        if model.stop_training:
            break
    return rates


def test_plateau_over_epochs_ends_under_the_least_rate():
    """Patience 3 in a run of 20 epochs; 3e-6, 6e-7, 1.2e-7, 2.4e-8, which is under 1e-7."""
    horizon, model = Horizon(20), stub_model(3e-6)
    plateau = begun(Plateau(horizon, 0.15, LEAST_RATE, factor=0.2), model)
    expected = [3e-6] * 4 + [6e-7] * 4 + [1.2e-7] * 3 + [2.4e-8]
    np.testing.assert_allclose(plateau_rates(plateau, model, horizon, LOSSES), expected, rtol=1e-5)
    assert model.stop_training


@pytest.mark.parametrize("cut", [1, 3, 7, 9])
def test_plateau_goes_on_where_it_was(cut):
    whole_horizon, whole = Horizon(20), stub_model()
    expected = plateau_rates(begun(Plateau(whole_horizon, 0.15, factor=0.2), whole), whole, whole_horizon, LOSSES)
    horizon, model = Horizon(20), stub_model()
    first = begun(Plateau(horizon, 0.15, factor=0.2), model)
    rates = plateau_rates(first, model, horizon, LOSSES[:cut])
    second = Plateau(horizon, 0.15, factor=0.2)
    second.state = json.loads(json.dumps(first.state))
    assert rates + plateau_rates(begun(second, model), model, horizon, LOSSES[cut:]) == expected
    assert Plateau(horizon, 0.15, factor=0.2).state is None


def test_plateau_restarts_with_another_rate_and_no_best_loss():
    horizon, model = Horizon(20), stub_model()
    plateau = begun(Plateau(horizon, 0.15, factor=0.2), model)
    plateau_rates(plateau, model, horizon, [1, 2, 2])
    plateau.restart(0.1)
    assert plateau.state is None
    np.testing.assert_allclose(plateau_rates(plateau, model, horizon, [3, 2.5, 2.5, 2.5, 2.5]), [0.1] * 4 + [0.02], rtol=1e-6)


def last_epoch(patience, dices):
    """Number of the epoch after which a run of such Dice ends, from 1; None if it goes on."""
    patience.set_model(model := types.SimpleNamespace(stop_training=False))
    for epoch, dice in enumerate(dices):
        patience.on_epoch_end(epoch, {"val_dice": dice})
        if model.stop_training:
            return epoch + 1
    return None


UNSTEADY = [0.3 + 0.4 * min(1, epoch / 50) + 0.1 * (-1) ** epoch for epoch in range(150)]
"""Rises for 50 epochs and stands still, a tenth up and down from epoch to epoch."""


@pytest.mark.parametrize(
    "epochs, dices, ends",
    [
        (3, [0.0] * 9, 3),
        (1, [0.0] * 9, 1),
        (3, [0.5, 0, 0, 0, 0], 4),  # averages .05 .045 .0405 .03645
        (3, [0.5, 0, 0, 0.9, 0, 0, 0, 0], 7),  # .05 .045 .0405 .12645 .1138 .1024 .0922: a late best one
        (3, [0.009, 0, 0, 0], 3),  # a rise of 0.0009
        (3, [0.0101, 0, 0, 0], 4),  # of 0.00101
        (3, [0.5] * 90, 50),  # the average of epoch 50 is 0.00095 over that of epoch 47
        (5, [0.002 * epoch for epoch in range(200)], None),
        (5, [0.5] * 70 + [0.5 + 0.0001 * epoch for epoch in range(200)], 56),
        (25, [0.5] * 70 + [0.5 + 0.0001 * epoch for epoch in range(200)], None),  # what slow rises add up to counts
        (10, UNSTEADY, 103),
        (10, [0.3 + 0.008 * epoch + 0.5 * (epoch == 8) for epoch in range(60)], None),  # a lucky epoch, not reached again
        (10, [0.9] + [0.5] * 100, 66),  # a lucky first one
    ],
)
def test_patience_ends_a_run_when_the_average_no_longer_rises(epochs, dices, ends):
    assert last_epoch(Patience(epochs), dices) == ends


@pytest.mark.parametrize("cut", [0, 1, 50, 98, 102])
def test_patience_goes_on_where_it_was(cut):
    first, second = Patience(10), Patience(10)
    assert last_epoch(first, UNSTEADY[:cut]) is None
    second.state = json.loads(json.dumps(first.state))
    assert cut + last_epoch(second, UNSTEADY[cut:]) == 103


def test_patience_begins_anew_with_a_second_start():
    patience = Patience(3)
    assert last_epoch(patience, [0.9, 0.9, 0.9, 0, 0]) is None
    patience.restart()
    assert patience.state == Patience(3).state and last_epoch(patience, [0.1, 0.1, 0.1, 0.1]) is None


def collapse_epochs(collapse, horizon, dices, caplog):
    """Epochs at which it says something."""
    said = []
    for dice in dices:
        horizon.done += 1
        caplog.clear()
        collapse.on_epoch_end(horizon.done - 1, dice)
        said += [horizon.done] * len(caplog.messages)
    return said


def nothing(dice=0.0, val_dice=0.0):
    return {"dice": dice, "val_dice": val_dice}


def test_a_collapse_is_reported_once_when_a_fifth_of_the_run_is_over(caplog):
    assert collapse_epochs(Collapse(horizon := Horizon(10)), horizon, [nothing()] * 10, caplog) == [2]
    assert collapse_epochs(Collapse(horizon := Horizon(10)), horizon, [nothing()] * 4 + [nothing(dice=0.5)] * 6, caplog) == [2]
    assert collapse_epochs(
        Collapse(horizon := Horizon(10)), horizon, [nothing(val_dice=0.02)] * 4 + [nothing(0.009, 0.009)] * 6, caplog
    ) == [5]
    assert collapse_epochs(Collapse(horizon := Horizon(10)), horizon, [nothing(dice=0.01)] * 10, caplog) == []


@pytest.mark.parametrize("saved_at", [None, 1, 2, 3, 7])
def test_a_collapse_restarts_once_and_keeps_its_state(saved_at, caplog):
    """Started again after epoch 2, it has another fifth of the run; then it is reported. So too across processes."""
    starts, horizon = [], Horizon(10)
    collapse = Collapse(horizon, starts.append)
    said = collapse_epochs(collapse, horizon, [nothing()] * (saved_at or 10), caplog)
    if saved_at:
        state = json.loads(json.dumps(collapse.state))
        collapse = Collapse(horizon, starts.append)
        collapse.state = state
        said += collapse_epochs(collapse, horizon, [nothing()] * (10 - saved_at), caplog)
    assert said == [2, 4] and starts == [0] and collapse.restarts == 1 and collapse.reported


def data():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(2, 4, 4, 4, 1)).astype("float32")
    return tf.constant(x), tf.constant((x[..., 0] > 0).astype("int32"))


def learner(optimizer, **update):
    model = Learner(small_network(), 2)
    model.compile(optimizer, JaccardLoss(), **update)
    return model


@pytest.mark.parametrize("precision", ["none", "float16"])
@pytest.mark.parametrize("optimizer", ["adam", "sgd"])
def test_a_second_start_is_a_first_one_but_for_the_rate(optimizer, precision):
    found = dataclasses.replace(PRESETS["scnas"], optimizer=optimizer, learning_rate=0.05)
    model = learner(make_optimizer(found, 0.5, precision))
    fresh = model.network.get_weights()

    step = tf.function(model.train_step, autograph=False)

    def two_steps():
        for _ in range(2):
            step(data())
        return model.network.get_weights()

    first = two_steps()
    start_again(model, model.network, fresh)
    assert rate_of(model) == pytest.approx(0.05)
    inner = getattr(model.optimizer, "inner_optimizer", model.optimizer)
    assert int(inner.iterations) == 0 and len(inner.variables) > 2 + len(fresh)
    second = two_steps()
    for ours, theirs, start in zip(second, first, fresh, strict=True):
        np.testing.assert_array_equal(ours, theirs)
        assert np.any(ours != start)
