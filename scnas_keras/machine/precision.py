"""Mixed precision: layers compute in half of float32's bits, variables and losses keep float32."""

from collections.abc import Sequence

import keras
import tensorflow as tf

from scnas_keras.machine.names import FLOAT16, NONE


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


def regularize(
    optimizer: keras.Optimizer,
    gradients: Sequence[tf.Tensor],
    variables: Sequence[keras.Variable],
    weight_decay: float,
    clip_norm: float | None,
) -> list[tf.Tensor]:
    """Gradients of `scaled_loss`, clipped to a norm and with an L2 penalty's added, as PyTorch and nnU-Net do, in this order.

    The norm is that of the sum over replicas, so that several devices compute what one does; Keras' own clipping looks at one
    replica's gradients, and its weight decay doesn't go through the momentum.

    Args:
        optimizer: that takes them.
        gradients: of a replica, in replica context.
        variables: theirs.
        weight_decay: times the variable is added to its gradient.
        clip_norm: largest norm of all gradients together; None for no limit.
    """
    replicas, scale = tf.distribute.get_replica_context(), scaled_loss(optimizer, tf.constant(1.0))
    count = replicas.num_replicas_in_sync
    if clip_norm is not None:
        total = replicas.all_reduce(tf.distribute.ReduceOp.SUM, list(gradients)) if count > 1 else gradients
        factor = tf.minimum(1.0, clip_norm / (tf.linalg.global_norm(total) / scale + 1e-6))
        gradients = [gradient * factor for gradient in gradients]
    if weight_decay:
        gradients = [g + v.value * (weight_decay * scale / count) for g, v in zip(gradients, variables)]
    return list(gradients)


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
