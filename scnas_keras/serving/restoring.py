"""Class probabilities back onto a scan's grid in a TensorFlow graph, some rows at a time; see `preprocessing.scans.restore_rows`."""

from collections.abc import Callable

import tensorflow as tf

from scnas_keras.preprocessing.plan import PreprocessingPlan
from scnas_keras.serving import splines
from scnas_keras.serving.loops import repeat
from scnas_keras.serving.preparing import Grids
from scnas_keras.serving.tiling import Tiles

Choose = Callable[[Callable[[tf.Tensor], tf.Tensor], int], tf.Tensor]


def restored(image: tf.Tensor, tiles: Tiles, grids: Grids, plan: PreprocessingPlan, choose: Choose, kind: tf.DType) -> tf.Tensor:
    """Segments a prepared scan and brings what `choose` makes of its probabilities onto the grid of the box, along the plan's axes.

    Args:
        image: from `preparing.prepare`, with its grids.
        tiles: the network.
        plan: the same as there.
        choose: takes (a function from a class to its map there, float32 [rows, b, c]; the number of classes), gives [rows, b, c, ...].
        kind: of what it gives.
    """
    order, coarse_order = plan.resampling.probabilities_order, plan.resampling.coarse_axis_order
    first, second, third = splines.spline_matrices(grids.prepared, grids.size, order, grids.coarse, coarse_order)
    rows = tf.range(grids.prepared[0])
    used = first != 0
    last = tf.reduce_max(tf.where(used, rows, 0), axis=1)
    earliest = _least_from_each_on(tf.reduce_min(tf.where(used, rows, grids.prepared[0]), axis=1))
    shape = tf.unstack(tf.shape(image)[:3])

    def use(index: tf.Tensor, new: tf.Tensor, window: tf.Tensor, begin: tf.Tensor, done: tf.Tensor, results: tf.TensorArray) -> list:
        window = tf.concat([window, tf.transpose(new, (0, 3, 1, 2))], axis=0)  # what is read class by class lies together
        end = begin + tf.shape(window)[0]
        ready = tf.reduce_sum(tf.math.cumprod(tf.cast(last < end, tf.int32)))
        own = first[done:ready, begin:end]

        def class_map(number: tf.Tensor) -> tf.Tensor:
            flat = tf.matmul(own, tf.reshape(window[:, number], (end - begin, -1)))
            mixed = tf.reshape(flat, (ready - done, shape[1], shape[2]))
            return splines.along_third(splines.along_second(mixed, second), third)

        results = results.write(index, choose(class_map, tiles.classes))
        needed = tf.minimum(earliest[tf.minimum(ready, tf.size(last) - 1)], end)
        return [window[needed - begin :], needed, ready, results]

    window = tf.zeros((0, tiles.classes, shape[1], shape[2]))
    results = tf.TensorArray(kind, 0, dynamic_size=True, infer_shape=False)
    *_, results = tiles.over(image, use, [window, tf.constant(0), tf.constant(0), results])
    return results.concat()


def strongest(class_map: Callable[[tf.Tensor], tf.Tensor], classes: int) -> tf.Tensor:
    """For each voxel the class whose map is highest, the first of equals; uint8 [rows, b, c]."""
    best = class_map(tf.constant(0))

    def turn(index: tf.Tensor, best: tf.Tensor, winner: tf.Tensor) -> list[tf.Tensor]:
        score = class_map(index + 1)
        return [tf.maximum(best, score), tf.where(score > best, tf.cast(index + 1, tf.uint8), winner)]

    return repeat(tf.constant(classes - 1), turn, [best, tf.zeros_like(best, tf.uint8)])[1]


def every_map(class_map: Callable[[tf.Tensor], tf.Tensor], classes: int) -> tf.Tensor:
    """The maps of all classes, float32 [rows, b, c, classes]; splines that ring are cut to 0 and 1, as `predict` writes them."""
    maps = tf.map_fn(
        lambda index: tf.clip_by_value(class_map(index), 0.0, 1.0),
        tf.range(classes),
        parallel_iterations=1,
        fn_output_signature=tf.TensorSpec((None, None, None), tf.float32),
    )
    return tf.transpose(maps, (1, 2, 3, 0))


def _least_from_each_on(values: tf.Tensor) -> tf.Tensor:
    """For each of int32 [n] the least of it and those after it."""
    places = tf.range(tf.size(values))
    return tf.reduce_min(tf.where(places[None] >= places[:, None], values[None], tf.reduce_max(values)), axis=1)
