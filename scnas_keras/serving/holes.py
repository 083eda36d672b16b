"""Filling holes in a graph: what no path through zeros and across faces connects with the border."""

import tensorflow as tf

_ORDERS = (0, 1, 2), (1, 0, 2), (2, 1, 0)
"""Of axes, to bring each to the front; each undoes itself."""


def with_holes_filled(mask: tf.Tensor) -> tf.Tensor:
    """A mask, bool [a, b, c], with its holes; as `scipy.ndimage.binary_fill_holes`.

    Zeros of the border spread along each axis in both directions, over and over until nothing new is reached.
    """
    free = ~mask

    def spread(reached: tf.Tensor, _: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        before = reached
        for order in _ORDERS:
            along = _swept(tf.transpose(free, order), tf.transpose(reached, order))
            reached = tf.ensure_shape(tf.transpose(along, order), (None, None, None))
        return reached, tf.reduce_any(reached != before)

    shapes = tf.TensorShape((None, None, None)), tf.TensorShape(())
    start = free & _border(tf.shape(mask)), tf.constant(True)
    reached, _ = tf.while_loop(lambda _, more: more, spread, start, shapes, parallel_iterations=1)
    return ~reached


def _swept(free: tf.Tensor, reached: tf.Tensor) -> tf.Tensor:
    """What is reached along the first axis, forwards and then backwards."""

    def step(before: tf.Tensor, row: tuple[tf.Tensor, tf.Tensor]) -> tf.Tensor:
        return row[0] & (before | row[1])

    nothing = tf.zeros_like(reached[0])
    forwards = tf.scan(step, (free, reached), nothing, parallel_iterations=1)
    return tf.scan(step, (free, forwards), nothing, parallel_iterations=1, reverse=True)


def _border(size: tf.Tensor) -> tf.Tensor:
    """bool [a, b, c], the voxels of the six faces."""
    ends = []
    for axis in range(3):
        place = tf.range(size[axis])
        ends.append(tf.reshape((place == 0) | (place == size[axis] - 1), [-1 if own == axis else 1 for own in range(3)]))
    return ends[0] | ends[1] | ends[2]
