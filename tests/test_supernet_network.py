"""The supernet's written-out passes against automatic differentiation of the whole network."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from test_supernet_search import SMALL, batch

from scnas_keras.spaces.operations import OPERATIONS
from scnas_keras.spaces.space import DECODER, ENCODER, EXPANSION, REDUCTION, SearchSpace
from scnas_keras.supernet.mixture import LOGITS, WEIGHTS
from scnas_keras.supernet.reference import plain_forward
from scnas_keras.supernet.relaxation import Draw
from scnas_keras.supernet.supernet import Supernet

DEEP = SearchSpace("deep", 3, tuple(OPERATIONS), 2, (REDUCTION, ENCODER, REDUCTION, ENCODER, EXPANSION, DECODER, EXPANSION, DECODER))


def random_draw(space, k, seed):
    rng = np.random.default_rng(seed)
    shape = (len(space.kinds), len(space.edges))
    operations = np.array([[rng.permutation(8)[:k] for _ in range(shape[1])] for _ in range(shape[0])])
    return operations, tf.constant(rng.dirichlet(np.ones(k), shape), tf.float32)


@pytest.mark.slow
@pytest.mark.parametrize("space, k, low_memory", [(SMALL, 2, False), (SMALL, 2, True), (SMALL, 8, False), (DEEP, 2, True)],
                         ids=["pair", "pair-low_memory", "all", "deep-low_memory"])  # fmt: skip
def test_gradients_equal_automatic_differentiation(space, k, low_memory):
    keras.utils.set_random_seed(1)
    supernet = Supernet(space, 2, 3, 8, low_memory=low_memory)
    operations, weights = random_draw(space, k, 0)
    if k == 8:
        operations = np.broadcast_to(np.arange(8), operations.shape)
    images, _ = batch(3)
    variables = [v.value for v in supernet.weight_variables]

    def gradients(forward, targets):
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(targets)
            logits = forward()
            score = tf.reduce_sum(tf.sin(logits))
        return logits, tape.gradient(score, targets, unconnected_gradients="zero")

    @tf.function(autograph=False)
    def ours(drawn):
        results = []
        for learn, targets in ((WEIGHTS, variables), (LOGITS, [weights])):
            logits, found = gradients(lambda learn=learn: supernet.forward(images, Draw(drawn, weights), (learn,)), targets)
            results.extend(found)
        return logits, results

    expected_logits, expected = tf.function(
        lambda: gradients(lambda: plain_forward(supernet, images, operations, weights), [*variables, weights]), autograph=False
    )()
    logits, found = ours(tf.constant(operations, tf.int32))
    np.testing.assert_allclose(logits, expected_logits, rtol=1e-3, atol=1e-4)
    for variable, a, b in zip([*supernet.weight_variables, weights], found, expected, strict=True):
        scale = max(np.abs(b).max(), 1e-3)
        np.testing.assert_allclose(a / scale, b / scale, atol=3e-3, err_msg=str(variable.shape))


def test_bfloat16_computes_close_to_float32():
    logits = []
    for policy in ("float32", "mixed_bfloat16"):
        keras.utils.set_random_seed(1)
        supernet = Supernet(SMALL, 2, 3, 16, dtype=policy)
        operations, weights = random_draw(SMALL, 2, 0)
        images, _ = batch(3)
        forward = tf.function(lambda drawn, s=supernet, i=images, w=weights: s.forward(i, Draw(drawn, w)), autograph=False)
        logits.append(forward(tf.constant(operations, tf.int32)).numpy())
    assert logits[1].dtype == np.float32
    assert np.abs(logits[1] - logits[0]).mean() < 0.05 * np.abs(logits[0]).mean()
