"""What keeps a search from going wrong: each rail does what the documentation says, and nothing unless asked."""

import json
import types

import keras
import numpy as np
import pytest
import tensorflow as tf
from planted_times import planted
from some_spaces import OPERATIONS, SCNAS, TINY, U, alpha_shape, kinds, tables

from scnas_keras.errors import ConfigError
from scnas_keras.search import SearchConfig, guards
from scnas_keras.search.checks import check_guards
from scnas_keras.search.monitor import Monitor
from scnas_keras.spaces import genotype_history
from scnas_keras.spaces.cost import cost_tables
from scnas_keras.spaces.derive import derive
from scnas_keras.spaces.time_tables import Timed
from scnas_keras.spaces.u_shape import REDUCTION, u_shaped
from scnas_keras.supernet.diagnostics import Diagnostics, groups_of
from scnas_keras.supernet.relaxation import Draw, drop_parameter_free
from scnas_keras.supernet.supernet import SEARCH, WARM_UP, Supernet
from scnas_keras.training.losses import JaccardLoss

IDENTITY, CONV, POOL, ZERO = (OPERATIONS.index(name) for name in ("identity", "conv_3", "max_pool_3", "zero"))
TABLES = cost_tables(TINY, 8, (8, 8, 8), 1, 2)


def test_defaults_are_off():
    config = SearchConfig()
    check_guards(config)
    assert guards.cost_penalty(config, TABLES) is None
    assert guards.search_fraction(0.3, config.warm_up) == 0.3
    diagnostics = types.SimpleNamespace(unchanged=10**6)
    assert guards.stop_reason(config, diagnostics) is None
    network = steered(config, 0.0)
    assert (network.phase, float(network.drop_rate)) == (SEARCH, 0)


def steered(config, fraction):
    network = types.SimpleNamespace(phase=None, drop_rate=keras.Variable(9.0))
    guards.steer(config, network, fraction)
    return network


@pytest.mark.parametrize(
    "flags, message",
    [
        ({"warm_up": 1.0}, "--warm_up=1.0"),
        ({"parameter_free_dropout": -0.1}, "--parameter_free_dropout=-0.1"),
        ({"max_identity_edges": -1}, "at least 0"),
        ({"stop_after_stable": 0}, "at least 1"),
        ({"warm_up": 0.9, "epochs": 5}, "--warm_up=0.9 of --epochs=5 leaves no whole epoch"),
        ({"target_gmacs": 0.0}, "--target_gmacs=0.0 must be above 0"),
        ({"target_ms": -1.0}, "--target_ms=-1.0 must be above 0"),
        ({"relaxation": "uniform", "target_ms": 1.0}, "--target_ms has no effect"),
        ({"relaxation": "uniform", "target_mparams": 1.0}, "--target_mparams has no effect"),
        ({"hessian_every": 2, "mixed_precision": "bfloat16"}, "too coarse"),
    ],
)
def test_settings_that_cannot_work_are_refused(flags, message):
    with pytest.raises(ConfigError, match=message):
        check_guards(SearchConfig(**flags))


def test_a_target_below_the_smallest_network_is_refused():
    least = TABLES.least()
    with pytest.raises(ConfigError, match="the least is .*Raise the target or lower the width"):
        guards.cost_penalty(SearchConfig(target_mparams=0.99 * least.parameters / 1e6), TABLES)
    penalty = guards.cost_penalty(SearchConfig(target_mparams=least.parameters / 1e6), TABLES)
    # reached by one pool an edge: every node and cell reads what costs least to align
    assert penalty.names == ("parameters",)
    every = np.eye(4)[np.random.default_rng(0).integers(0, 3, (200, 4, 2))]
    assert min(TABLES.expected(tables(TINY, 1e3 * choice)).parameters for choice in every) >= least.parameters


def test_a_target_that_takes_less_time_than_any_network_is_refused():
    times = Timed(TINY, 8, (8, 8, 8), 1, 1, 2).tables(planted)
    with pytest.raises(ConfigError, match="--target_ms=.*: no network is that fast on this machine at --width=64; the least is .*Raise"):
        guards.cost_penalty(SearchConfig(target_ms=0.99 * times.least()), TABLES, times)
    assert guards.cost_penalty(SearchConfig(target_ms=times.least(), target_gmacs=1.0), TABLES, times).names == (
        "multiply_adds",
        "milliseconds",
    )


def test_warm_up_then_search_and_dropout_falls_to_zero():
    config = SearchConfig(warm_up=0.25, parameter_free_dropout=0.4)
    network = [steered(config, fraction) for fraction in (0, 0.2, 0.25, 1)]
    assert [own.phase for own in network] == [WARM_UP, WARM_UP, SEARCH, SEARCH]
    np.testing.assert_allclose([float(own.drop_rate) for own in network], [0.4, 0.32, 0.3, 0], rtol=1e-6)
    assert [guards.search_fraction(fraction, 0.25) for fraction in (0.1, 0.25, 0.625, 1)] == [0, 0, 0.5, 1]
    pair, softmax = (SearchConfig(warm_up=0.25, relaxation=name) for name in ("gumbel_pair", "softmax"))
    assert [round(guards.temperature(pair, fraction), 9) for fraction in (0.25, 0.625, 1)] == [5.0, 1.0, 0.2]
    assert [guards.temperature(softmax, fraction) for fraction in (0, 1)] == [1.0, 1.0]


def test_dropout_takes_out_pools_and_identities_and_keeps_the_mean():
    operations = tf.constant(np.tile([[CONV, IDENTITY], [POOL, ZERO]], (20_000, 1, 1)), tf.int32)
    weights = tf.constant(np.tile([[0.3, 0.7], [0.4, 0.6]], (20_000, 1, 1)), tf.float32)
    dropped = drop_parameter_free(Draw(operations, weights), OPERATIONS, tf.constant(0.25), tf.constant([1, 2])).weights.numpy()
    np.testing.assert_array_equal(dropped[:, 0, 0], weights[:, 0, 0])  # the convolution
    np.testing.assert_array_equal(dropped[:, 1, 1], weights[:, 1, 1])  # zero, which there is nothing to drop of
    for edge, place, weight in ((0, 1, 0.7), (1, 0, 0.4)):
        own = dropped[:, edge, place]
        np.testing.assert_allclose(own[own > 0], weight / 0.75, rtol=1e-6)
        assert abs(np.mean(own == 0) - 0.25) < 0.012
    kept = drop_parameter_free(Draw(operations, weights), OPERATIONS, tf.constant(0.0), tf.constant([1, 2])).weights
    np.testing.assert_array_equal(kept, weights)


def capped_alpha():
    """Three identities in the first kind, decided at 5, 3 and 4; elsewhere convolutions."""
    alpha = np.zeros(alpha_shape(SCNAS))
    alpha[..., CONV] = 1
    for edge, height in ((0, 5), (4, 3), (9, 4)):
        alpha[0, edge, IDENTITY] = height
    alpha[0, 4, POOL] = 2
    return tables(SCNAS, alpha)


def test_the_cap_takes_the_least_certain_identities():
    alpha = capped_alpha()
    free, same, two, none = (derive(SCNAS, alpha, most).cells[REDUCTION] for most in (None, 3, 2, 0))
    assert [e for e, edge in enumerate(free) if edge.operation == "identity"] == [0, 4, 9] and same == free
    assert [e for e, edge in enumerate(two) if edge.operation == "identity"] == [0, 9]
    assert two[4].operation == "max_pool_3" and two[4].probability < free[4].probability
    assert [none[e].operation for e in (0, 4, 9)] == ["conv_3", "max_pool_3", "conv_3"]
    assert derive(SCNAS, alpha, 3).notes == ()
    (note,) = derive(SCNAS, alpha, 2).notes
    assert "3 edges were identity, 2 may be; 2->3 became max_pool_3" in note


def test_restored_edges_keep_to_the_cap():
    """Both edges into the node become zero under the cap; what is restored is the best that is neither zero nor identity."""
    alpha = np.zeros(alpha_shape(SCNAS))
    alpha[:, :2, IDENTITY], alpha[:, :2, ZERO] = 4, 3
    alpha[:, 1, POOL] = 2
    genotype = derive(SCNAS, tables(SCNAS, alpha), 0)
    assert [edge.operation for edge in genotype.cells[REDUCTION][:2]] == [None, "max_pool_3"]
    only = u_shaped("only", 3, ("identity", "zero"), 2, U)  # here nothing else can be restored
    assert "identity" in {edge.operation for edge in derive(only, tables(only, np.zeros(alpha_shape(only))), 0).cells[REDUCTION]}


def logs(entropy=0.5, **shares):
    even = {f"share_{kind}_{group}": 0.2 for kind in kinds(TINY) for group in groups_of(TINY)}
    return {"entropy": entropy, **even, **shares}


def test_warnings():
    assert guards.warnings(logs(), kinds(TINY), 0.7) == {}
    assert guards.warnings(logs(0.97), kinds(TINY), 0.4) == {}
    (text,) = guards.warnings(logs(0.97), kinds(TINY), 0.6).values()
    assert "hardly decided" in text and "0.97" in text and "60%" in text
    found = guards.warnings(logs(share_reduction_identity=0.5, share_expansion_zero=0.7), kinds(TINY), 0.1)
    assert set(found) == {"identity reduction", "zero expansion"} and "70% of the expansion" in found["zero expansion"]
    assert guards.warnings(logs(0.99, share_reduction_identity=0.6), kinds(TINY), 0.1) == {}  # says nothing yet


def test_stop_says_why():
    config = SearchConfig(stop_after_stable=3)
    diagnostics = types.SimpleNamespace(unchanged=2, rows={"entropy": np.array([0.4, 0.5])})
    assert guards.stop_reason(config, diagnostics) is None
    diagnostics.unchanged = 3
    assert "not changed for 3 epochs (--stop_after_stable=3)" in guards.stop_reason(config, diagnostics)
    assert "0.45" in guards.stop_reason(config, diagnostics)


def tiny_supernet(**options):
    keras.utils.set_random_seed(0)
    return Supernet(TINY, 1, 2, 8, **options)


def set_alpha(supernet, seed):
    supernet.set_alpha(tables(TINY, np.random.default_rng(seed).normal(size=alpha_shape(TINY))))


def test_monitor_fills_its_columns_and_steers(tmp_path):
    config = SearchConfig(warm_up=0.5, parameter_free_dropout=0.2, target_gmacs=1.0, max_identity_edges=1)
    supernet = tiny_supernet(parameter_free_dropout=0.2, penalty=guards.cost_penalty(config, TABLES))
    monitor = Monitor(config, supernet, TABLES, tmp_path / "genotypes.jsonl")
    assert supernet.phase == WARM_UP
    row = {"loss": 1.0}
    supernet.draw()
    assert monitor.on_epoch_end(1, row, 0.25) is None and supernet.phase == WARM_UP
    supernet.draw()
    set_alpha(supernet, 1)
    assert monitor.on_epoch_end(2, row, 0.5) is None and supernet.phase == SEARCH
    assert set(row) == {"loss", *monitor.columns} and all(np.isfinite(list(row.values())))
    assert row["drop_rate"] == pytest.approx(0.15) and float(supernet.drop_rate) == pytest.approx(0.1)
    assert "λ" in monitor.describe(row) and "target 1" in monitor.describe(row)
    assert genotype_history.load(tmp_path / "genotypes.jsonl", 2) == derive(TINY, supernet.alpha_tables(), 1)


def test_no_verdict_on_alpha_that_did_not_learn():
    """The first epoch after the warm-up isn't the second half of the search either."""
    config = SearchConfig(warm_up=0.6)
    monitor = Monitor(config, tiny_supernet(), TABLES, None)
    for epoch, fraction in ((1, 0.3), (2, 0.6), (3, 0.7)):
        monitor.on_epoch_end(epoch, {}, fraction)
    assert monitor.state["warned"] == []
    monitor.on_epoch_end(4, {}, 0.9)
    assert monitor.state["warned"] == ["undecided"]
    baseline = Monitor(SearchConfig(), tiny_supernet(relaxation="uniform"), TABLES, None)
    baseline.on_epoch_end(1, {}, 1.0)
    assert baseline.state["warned"] == []


def test_a_search_that_diverged_says_so():
    supernet = tiny_supernet()
    supernet.set_alpha(tables(TINY, np.full(alpha_shape(TINY), np.nan)))
    with pytest.raises(ConfigError, match="diverged in epoch 3.*--weights_lr or --alpha_lr"):
        Monitor(SearchConfig(), supernet, TABLES, None).on_epoch_end(3, {}, 0.5)


def test_a_resumed_monitor_goes_on(tmp_path):
    config = SearchConfig(stop_after_stable=1, hessian_every=2)
    rows, files = [], [tmp_path / "one.jsonl", tmp_path / "two.jsonl"]
    supernet = tiny_supernet()
    monitor = Monitor(config, supernet, TABLES, files[0], eigenvalue=lambda epoch: epoch + 0.5)
    set_alpha(supernet, 1)
    monitor.on_epoch_end(1, {}, 0.1)
    resumed = Monitor(config, supernet, TABLES, files[0], eigenvalue=lambda epoch: epoch + 0.5)
    resumed.state = json.loads(json.dumps(monitor.state))
    for own in (monitor, resumed):
        rows.append({})
        assert "stopped: the genotype has not changed for 1 epochs" in own.on_epoch_end(2, rows[-1], 0.2)
    assert rows[0] == rows[1] and rows[0]["hessian_eigenvalue"] == 2.5
    assert resumed.state == monitor.state


def test_a_supernet_counts_what_it_draws():
    supernet = tiny_supernet(seed=4)
    for _ in range(200):
        supernet.draw()
    (drawn,), (expected,) = (list(map(np.array, counts)) for counts in (supernet.drawn, supernet.drawn_expected))
    np.testing.assert_array_equal(drawn.sum(-1), 400)
    np.testing.assert_allclose(expected.sum(-1), 400, rtol=1e-4)
    by_table = (supernet.banks.to_tables([own]) for own in (np.zeros(drawn.shape), drawn, expected))
    diagnostics = Diagnostics(TABLES).update(*by_table, 200)
    assert diagnostics["draw_deviation"] < 1.3


@pytest.mark.parametrize("options, phase", [({}, WARM_UP), ({"relaxation": "uniform"}, SEARCH)])
def test_where_only_weights_learn_alpha_stays(options, phase):
    supernet = tiny_supernet(**options)
    supernet.compile(keras.optimizers.SGD(0.1), keras.optimizers.SGD(0.1), JaccardLoss())
    supernet.phase = phase
    rng = np.random.default_rng(0)
    batch = tf.constant(rng.normal(size=(1, 8, 8, 8, 1)), tf.float32), tf.constant(rng.integers(0, 2, (1, 8, 8, 8)), tf.int32)
    alpha, weights = np.array(supernet.alpha[0]), [np.array(v) for v in supernet.weight_variables]
    result = tf.function(lambda: supernet.train_step((batch, batch)), autograph=False)()
    assert set(result) == {"loss"} and int(supernet.draws) == 1
    np.testing.assert_array_equal(supernet.alpha[0], alpha)
    assert any(np.any(np.array(v) != old) for v, old in zip(supernet.weight_variables, weights))
    assert bool(alpha.any()) == (supernet.relaxation == "uniform")
