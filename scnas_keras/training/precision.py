"""Mixed precision: layers compute in half of float32's bits, variables and losses keep float32."""

from collections.abc import Sequence

import keras
import tensorflow as tf

NONE, BFLOAT16, FLOAT16 = "none", "bfloat16", "float16"


def set_precision(name: str) -> None:
    """Sets the precision of the layers that are made from now on: "none" (float32), "bfloat16" or "float16"."""
    keras.config.set_dtype_policy("float32" if name == NONE else f"mixed_{name}")


def scaled(optimizer: keras.Optimizer, name: str) -> keras.Optimizer:
    """The optimizer for a precision: float16 underflows below 6e-8, so that its losses are scaled up, as far as they bear.

    Each optimizer has a scale of its own.
    """
    return keras.optimizers.LossScaleOptimizer(optimizer) if name == FLOAT16 else optimizer


def scaled_loss(optimizer: keras.Optimizer, loss: tf.Tensor) -> tf.Tensor:
    """The loss whose gradients `apply_gradients` takes."""
    return optimizer.scale_loss(loss) if isinstance(optimizer, keras.optimizers.LossScaleOptimizer) else loss


def apply_gradients(optimizer: keras.Optimizer, gradients: Sequence[tf.Tensor], variables: Sequence[keras.Variable]) -> None:
    """Applies gradients of `scaled_loss`, in replica context; the optimizer adds them up over replicas.

    A step that overflows on one replica is left out on all. Keras' LossScaleOptimizer looks at one replica's gradients
    before they are added up, and would let another's infinities through.
    """
    replicas = tf.distribute.get_replica_context()
    if isinstance(optimizer, keras.optimizers.LossScaleOptimizer) and replicas.num_replicas_in_sync > 1:
        bad = tf.add_n([tf.math.count_nonzero(~tf.math.is_finite(g), dtype=tf.float32) for g in gradients])
        bad = replicas.all_reduce(tf.distribute.ReduceOp.SUM, bad)
        gradients = [tf.where(bad > 0, tf.constant(float("nan"), gradients[0].dtype), gradients[0]), *gradients[1:]]
    optimizer.apply(gradients, variables)
