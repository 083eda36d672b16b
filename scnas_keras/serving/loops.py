"""Loops in a graph, one turn after the other, so that memory holds what one turn needs."""

from collections.abc import Callable, Sequence
from typing import Any

import tensorflow as tf


def repeat(count: tf.Tensor, turn: Callable[..., Sequence[Any]], start: Sequence[Any]) -> list[Any]:
    """Calls turn(index, *state) -> state `count` times.

    Args:
        count: int32 scalar.
        turn: may change sizes along a value's first axis.
        start: tensors and TensorArrays.
    """
    specs = tuple(map(_spec, start))

    def body(index: tf.Tensor, *state: Any) -> tuple[Any, ...]:
        found = [
            value if isinstance(value, tf.TensorArray) else tf.ensure_shape(value, spec.shape)
            for value, spec in zip(turn(index, *state), specs)
        ]
        return (index + 1, *found)

    _, *end = tf.while_loop(
        lambda index, *state: index < count, body, (tf.constant(0), *start), (tf.TensorSpec((), tf.int32), *specs), parallel_iterations=1
    )
    return list(end)


def _spec(value: Any) -> tf.TypeSpec:
    if isinstance(value, tf.TensorArray):  # a loop has a handle of it
        return tf.TensorSpec((), tf.variant)
    if not value.shape.rank:
        return tf.type_spec_from_value(value)
    return tf.TensorSpec((None, *value.shape[1:]), value.dtype)
