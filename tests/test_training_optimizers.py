"""Optimizers of one operation a variable against Keras' own, whose formulas they share, and against the formula in float64."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from scnas_keras.training import optimizers

SHAPES = ((3, 4), (5,), ())
PAIRS = {
    "adam": lambda kind: kind.Adam(0.01, 0.8, 0.95),
    "adam, averaged": lambda kind: kind.Adam(0.01, use_ema=True, ema_momentum=0.9),
    "sgd": lambda kind: kind.SGD(0.01),
    "momentum": lambda kind: kind.SGD(0.01, 0.9),
    "nesterov, averaged": lambda kind: kind.SGD(0.01, 0.99, nesterov=True, use_ema=True, ema_momentum=0.9),
}


def updated(optimizer, updates=8, scaled=False):
    """Variables and the optimizer's own after some updates, in a graph."""
    random = np.random.default_rng(0)
    variables = [keras.Variable(random.standard_normal(shape), dtype="float32") for shape in SHAPES]
    optimizer = keras.optimizers.LossScaleOptimizer(optimizer(), initial_scale=8.0) if scaled else optimizer()
    optimizer.build(variables)

    @tf.function(autograph=False)
    def update(*gradients):
        optimizer.apply(gradients, variables)

    for _ in range(updates):
        update(*(tf.constant(random.standard_normal(shape), tf.float32) for shape in SHAPES))
    return [np.array(v) for v in [*variables, *optimizer.variables]]


@pytest.mark.parametrize("scaled", [False, True])
@pytest.mark.parametrize("name", [name for name in PAIRS if "averaged" not in name])
def test_it_updates_as_keras_does(name, scaled):
    own, of_keras = (updated(lambda kind=kind: PAIRS[name](kind), scaled=scaled) for kind in (optimizers, keras.optimizers))
    assert len(own) == len(of_keras)
    for one, other in zip(own, of_keras):
        np.testing.assert_allclose(one, other, rtol=2e-5, atol=1e-7)


def test_adam_is_its_formula():
    """Kingma and Ba, algorithm 1 in the form of section 2's last paragraph, in float64."""
    (variable, _, _, *_) = updated(lambda: optimizers.Adam(0.01, 0.8, 0.95))
    random = np.random.default_rng(0)
    wanted, *_ = (random.standard_normal(shape) for shape in SHAPES)
    m = v = np.zeros(SHAPES[0])
    for step in range(1, 9):
        gradient, *_ = (random.standard_normal(shape) for shape in SHAPES)
        m, v = 0.8 * m + 0.2 * gradient, 0.95 * v + 0.05 * gradient**2
        wanted = wanted - 0.01 * np.sqrt(1 - 0.95**step) / (1 - 0.8**step) * m / (np.sqrt(v) + 1e-7)
    np.testing.assert_allclose(variable, wanted, rtol=1e-5)


@pytest.mark.parametrize("name", ["adam, averaged", "nesterov, averaged"])
def test_the_average_begins_with_the_last_updates(name):
    """After t updates the average takes (1 + t) / (10 + t) of itself, at most what was asked for."""
    history = [updated(lambda: PAIRS[name](optimizers), updates) for updates in range(1, 9)]
    average = history[0][0]
    for updates, values in enumerate(history):
        share = min(0.9, (1 + updates) / (10 + updates)) if updates else 0.0
        average = share * average + (1 - share) * values[0]
    found = [value for value in history[-1][len(SHAPES) :] if value.shape == SHAPES[0]]
    assert any(np.allclose(value, average, rtol=1e-5) for value in found)


def test_amsgrad_is_refused():
    with pytest.raises(NotImplementedError, match="amsgrad"):
        updated(lambda: optimizers.Adam(amsgrad=True))
