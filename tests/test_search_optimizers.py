"""What learns the weights and alpha of a search: optimizers by flags, and updates against NumPy."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from some_spaces import LEVEL
from test_supernet_search import batch

from scnas_keras.errors import ConfigError
from scnas_keras.machine.precision import scaled
from scnas_keras.options import parse, to_flagfile
from scnas_keras.search.checks import check
from scnas_keras.search.config import SearchConfig
from scnas_keras.search.runner import weights_optimizer
from scnas_keras.supernet.supernet import Supernet
from scnas_keras.training.losses import JaccardLoss
from scnas_keras.training.optimizers import SGD, Adam

STEPS = 3


def test_adam_by_default_and_sgd_with_the_momentum_of_darts():
    adam = weights_optimizer(SearchConfig())
    assert (type(adam), float(adam.learning_rate), adam.beta_1, adam.beta_2) == (Adam, pytest.approx(0.003), 0.9, 0.999)
    sgd = weights_optimizer(SearchConfig(weights_optimizer="sgd", weights_lr=0.005))
    assert (type(sgd), float(sgd.learning_rate), sgd.momentum, sgd.nesterov) == (SGD, pytest.approx(0.005), 0.9, False)
    assert weights_optimizer(SearchConfig(weights_optimizer="sgd", weights_momentum=0.0)).momentum == 0


@pytest.mark.parametrize(
    "flags, message",
    [
        ({"weights_momentum": 0.9}, "--weights_momentum=0.9 is for --weights_optimizer=sgd, and the optimizer is adam. Leave one"),
        ({"weights_momentum": 1.0, "weights_optimizer": "sgd"}, "--weights_momentum=1.0 must be from 0"),
    ],
)
def test_a_momentum_that_means_nothing_is_refused(flags, message):
    with pytest.raises(ConfigError, match=message):
        check(SearchConfig(**flags))


@pytest.mark.parametrize(
    "flags, message",
    [
        ("--weights_schedule=cosine --plateau=0.3", "--plateau=0.3 is for --weights_schedule=plateau, and found --weights_schedule=cosine"),
        ("--preset=light_paper --space=light --plateau=0.3", "--weights_schedule=cosine. Add the former, or leave --plateau out"),
        ("--relaxation=softmax --skip_below=0.02", "--skip_below=0.02 is for --relaxation=gumbel_pair, and found --relaxation=softmax"),
        ("--relaxation=gumbel_single --skip_below=0.02", "--relaxation=gumbel_pair, and found --relaxation=gumbel_single"),
        ("--relaxation=uniform --temperature_end=0.1", "for --relaxation=gumbel_pair or gumbel_single, and found --relaxation=uniform"),
        ("--relaxation=softmax --temperature_start=2", "--temperature_start=2.0 is for --relaxation=gumbel_pair or gumbel_single"),
        ("--weights_optimizer=sgd --weights_betas=0.5,0.9", "--weights_betas=0.5,0.9 is for --weights_optimizer=adam, and found .*=sgd"),
        *(
            (f"--relaxation=uniform --alpha_{what}", "so that --alpha_.* has no effect")
            for what in ("decay=0.1", "lr=0.1", "betas=0.9,0.99")
        ),
    ],
)
def test_what_has_no_effect_is_refused_on_the_command_line_alone(flags, message, tmp_path):
    with pytest.raises(ConfigError, match=message):
        parse(SearchConfig, ["search", *flags.split()])
    (tmp_path / "own.cfg").write_text(flags.replace(" ", "\n") + "\n")
    parse(SearchConfig, ["search", f"--flagfile={tmp_path}/own.cfg"])


def test_presets_go_with_each_relaxation_and_optimizer():
    for preset in ("scnas", "short", "light_paper --space=light"):
        for flag in ("--relaxation=uniform", "--weights_optimizer=sgd", "--weights_schedule=cosine"):
            check(config := parse(SearchConfig, ["search", *f"--preset={preset}".split(), flag]))
            assert parse(SearchConfig, ["search", *to_flagfile(config).splitlines()]) == config  # as a child of several seeds


def sgd(values, gradients, decay, rate=0.1, momentum=0.9):
    """Values after updates: v = m v + g + decay w, w -= rate v."""
    velocity = 0.0
    for gradient in gradients:
        velocity = momentum * velocity + gradient + decay * values
        values = values - rate * velocity
    return values


def adam(values, gradients, decay, rate=0.01, first=0.5, second=0.999):
    """The same by Kingma and Ba, in the form with epsilon beside the uncorrected root (end of section 2)."""
    mean, square = 0.0, 0.0
    for update, gradient in enumerate(gradients, start=1):
        gradient = gradient + decay * values
        mean = first * mean + (1 - first) * gradient
        square = second * square + (1 - second) * gradient**2
        values = values - rate * np.sqrt(1 - second**update) / (1 - first**update) * mean / (np.sqrt(square) + 1e-7)
    return values


def flat(variables):
    return np.concatenate([np.ravel(keras.ops.convert_to_numpy(v)) for v in variables]).astype("float64")


@pytest.mark.parametrize("precision", ["none", "float16"])
@pytest.mark.parametrize("weights_decay, alpha_decay", [(0.0, 0.0), (0.05, 0.2)])
def test_updates_are_those_of_numpy(weights_decay, alpha_decay, precision):
    """The gradients are those that the supernet gives the optimizers, from which scales are taken out; the decay is added to them here."""
    keras.utils.set_random_seed(0)
    supernet = Supernet(LEVEL, 2, 3, 8)
    optimizers = [scaled(optimizer, precision) for optimizer in (SGD(0.1, 0.9), Adam(0.01, 0.5, 0.999))]
    supernet.compile(*optimizers, JaccardLoss(), weights_decay=weights_decay, alpha_decay=alpha_decay)
    supernet.set_alpha({name: np.random.default_rng(1).normal(size=own.shape) for name, own in supernet.alpha_tables().items()})
    scale, seen = 2.0**15 if precision == "float16" else 1.0, {"weights": [], "alpha": []}
    start = {"weights": flat(supernet.weight_variables), "alpha": flat(supernet.alpha)}
    of_weights, of_alpha = supernet.weights_gradient, supernet.alpha_gradient

    @tf.function(autograph=False)
    def step():
        gradients = {}
        supernet.weights_gradient = lambda *data: gradients.setdefault("weights", of_weights(*data))
        supernet.alpha_gradient = lambda *data: gradients.setdefault("alpha", of_alpha(*data))
        supernet.train_step((batch(0), batch(1)))
        return {name: own for name, (_, own) in gradients.items()}

    for _ in range(STEPS):
        for name, own in step().items():
            seen[name].append(flat(own) / scale)

    for name, update, decay, after in (
        ("weights", sgd, weights_decay, supernet.weight_variables),
        ("alpha", adam, alpha_decay, supernet.alpha),
    ):
        expected = update(start[name], seen[name], decay)
        np.testing.assert_allclose(flat(after), expected, rtol=1e-4, atol=2e-6, err_msg=name)
        without = update(start[name], seen[name], 0.0)
        assert (np.abs(expected - without).max() > 1e-3) == (decay > 0)
