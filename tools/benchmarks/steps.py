"""The step that a training run repeats, on one random batch."""

import time
from collections.abc import Callable, Sequence


def training_step(network, preset: str, batch: int, patch_size: Sequence[int], channels: int, classes: int) -> Callable[[], float]:
    """A function that does a step of the package's learner and returns its seconds; the first call traces it.

    Args:
        network: built for these channels and classes.
        preset: optimizer and loss.
        batch: patches.
        patch_size: voxels of a patch.
    """
    import tensorflow as tf

    from scnas_keras.machine.names import NONE
    from scnas_keras.retrain.optimizers import make_optimizer
    from scnas_keras.retrain.recipes import PRESETS
    from scnas_keras.training.learner import Learner
    from scnas_keras.training.losses import make_loss

    recipe, learner = PRESETS[preset], Learner(network, classes)
    learner.compile(make_optimizer(recipe, 0.0, NONE), make_loss(recipe.loss), recipe.weight_decay, recipe.clip_norm)
    shape = (batch, *patch_size)
    images = tf.random.stateless_normal((*shape, channels), (1, 2))
    labels = tf.random.stateless_uniform(shape, (3, 4), 0, classes, tf.int32)
    train_step = tf.function(learner.train_step, autograph=False)

    def step() -> float:
        before = time.perf_counter()
        float(train_step((images, labels))["loss"])
        return time.perf_counter() - before

    return step
