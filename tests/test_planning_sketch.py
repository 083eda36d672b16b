import numpy as np
import pytest

from scnas_keras.preprocessing import sketch as module
from scnas_keras.preprocessing.sketch import RELATIVE_ERROR, merge, sketch

SHARES = (0.0, 0.005, 0.25, 0.5, 0.995, 1.0)


def weighted_quantiles(parts, shares):
    """By sorting all values, each part weighing the same."""
    values = np.concatenate(parts)
    weights = np.concatenate([np.full(part.size, 1 / part.size) for part in parts])
    order = np.argsort(values)
    reached = np.cumsum(weights[order])
    return values[order][np.minimum(np.searchsorted(reached, np.array(shares) * reached[-1]), values.size - 1)]


@pytest.mark.parametrize(
    "draw",
    [
        lambda random, n: random.normal(-200, 400, n).round(),
        lambda random, n: random.lognormal(8, 3, n),
        lambda random, n: random.uniform(0, 1e-4, n),
        lambda random, n: np.full(n, 7.0),
        lambda random, n: random.integers(-3, 4, n),
    ],
)
def test_sketches_of_cases_add_up_to_the_statistics_of_all_values(draw):
    random = np.random.default_rng(0)
    parts = [draw(random, n).astype(np.float32) for n in (20_000, 500, 3)]
    total = merge([sketch(part) for part in parts])
    np.testing.assert_allclose(total.quantiles(SHARES), weighted_quantiles(parts, SHARES), rtol=1.001 * RELATIVE_ERROR, atol=1e-9)
    weights = np.concatenate([np.full(part.size, 1 / part.size) for part in parts])
    values = np.concatenate(parts).astype(np.float64)
    mean = np.average(values, weights=weights)
    np.testing.assert_allclose(
        [total.mean, total.std], [mean, np.sqrt(np.average((values - mean) ** 2, weights=weights))], rtol=1e-6, atol=1e-9
    )
    assert (total.low, total.high, total.weight) == (values.min(), values.max(), pytest.approx(3))


def test_a_sketch_stays_small_and_its_blocks_do_not_show(monkeypatch):
    values = np.random.default_rng(1).normal(0, 1000, 50_000)
    whole = sketch(values)
    monkeypatch.setattr(module, "BLOCK", 777)
    blocks = sketch(values)
    assert blocks.quantiles(SHARES) == whole.quantiles(SHARES)
    np.testing.assert_allclose([blocks.mean, blocks.std], [whole.mean, whole.std], rtol=1e-9, atol=1e-9)
    assert len(whole.bins) < 2 * np.log(1e12) / (2 * RELATIVE_ERROR)


def test_nothing_has_no_sketch():
    assert sketch(np.empty(0)) is None
