"""The resizes of `preprocessing.resampling` as TensorFlow graphs, for grids whose sizes are known only when a graph runs.

Splines are products with one matrix an axis, as there, but dense. Sizes are computed in float64.
"""

import functools
import math
from collections.abc import Sequence

import tensorflow as tf

from scnas_keras.preprocessing.resampling import HALVES, SPACING_TOLERANCE

_POLE = math.sqrt(3) - 2  # of the filter that turns values into coefficients of cubic B-splines
_NEGLIGIBLE = 1e-7


def resampled_size(size: Sequence[tf.Tensor], spacing: Sequence[tf.Tensor], target: Sequence[float | None]) -> list[tf.Tensor]:
    """See `preprocessing.resampling.resampled_shape`; sizes are int32 scalars, spacings float64 scalars."""
    return [
        own if new is None else tf.where(tf.abs(old - new) < SPACING_TOLERANCE * new, own, _rounded(tf.cast(own, tf.float64) * old / new))
        for own, old, new in zip(size, spacing, target)
    ]


def coarse_axis(spacing: Sequence[tf.Tensor], target: Sequence[float | None], anisotropy: float) -> tf.Tensor:
    """See `preprocessing.resampling.coarse_axis`; int32, -1 for none."""
    first = tf.stack(spacing)
    second = tf.stack([old if new is None else tf.constant(new, tf.float64) for old, new in zip(spacing, target)])
    return tf.where(
        _is_anisotropic(first, anisotropy), _coarsest(first), tf.where(_is_anisotropic(second, anisotropy), _coarsest(second), -1)
    )


def spline_matrices(
    old: Sequence[tf.Tensor], new: Sequence[tf.Tensor], order: int, coarse: tf.Tensor, coarse_order: int
) -> list[tf.Tensor]:
    """The float32 matrices [new, old] of a resize along three axes, of which the coarse one has an order of its own."""
    return [
        tf.cond(
            coarse == axis,
            lambda own=own, wanted=wanted: spline_matrix(own, wanted, coarse_order),
            lambda own=own, wanted=wanted: spline_matrix(own, wanted, order),
        )
        for axis, (own, wanted) in enumerate(zip(old, new))
    ]


def spline_matrix(old: tf.Tensor, new: tf.Tensor, order: int) -> tf.Tensor:
    """The float32 matrix [new, old] of a spline resize of order 0, 1 or 3 along one axis; values beyond the ends are those at them."""
    return _MATRICES[order](old, new)


def _matrix(order: int, old: tf.Tensor, new: tf.Tensor) -> tf.Tensor:
    if order == 0:
        return tf.one_hot(nearest(old, new), old)
    step = tf.cast(old, tf.float64) / tf.cast(new, tf.float64)
    places = (tf.cast(tf.range(new), tf.float64) + 0.5) * step - 0.5
    matrix = _linear(places, old) if order == 1 else _cubic(places, old)
    return tf.cast(tf.where(tf.abs(matrix) < _NEGLIGIBLE, tf.zeros_like(matrix), matrix), tf.float32)


_MATRICES = {
    order: tf.function(functools.partial(_matrix, order), input_signature=[tf.TensorSpec((), tf.int32)] * 2, autograph=False)
    for order in (0, 1, 3)
}
"""Each traced once, for all axes and images: a graph of few nodes is loaded sooner."""


def nearest(old: tf.Tensor, new: tf.Tensor) -> tf.Tensor:
    """For each of `new` voxels the one of `old` that its centre lies in; on a border between two, the latter."""
    return (2 * tf.range(new) + 1) * old // (2 * new)


def apply(array: tf.Tensor, matrices: Sequence[tf.Tensor]) -> tf.Tensor:
    """Multiplies [a, b, c] with a matrix along each axis; an axis that keeps its size is left alone."""
    first, second, third = matrices
    return along_third(along_second(along_first(array, first), second), third)


def along_first(array: tf.Tensor, matrix: tf.Tensor) -> tf.Tensor:
    """Multiplies [a, b, c] with [n, a]; it is left out where it is square: equal sizes, the identity."""
    size = tf.shape(array)

    def product() -> tf.Tensor:
        return tf.reshape(tf.matmul(matrix, tf.reshape(array, (size[0], -1))), (tf.shape(matrix)[0], size[1], size[2]))

    return _unless_square(array, matrix, product)


def along_second(array: tf.Tensor, matrix: tf.Tensor) -> tf.Tensor:
    """Multiplies [a, b, c] with [n, b]."""
    return _unless_square(array, matrix, lambda: tf.matmul(matrix[None], array))


def along_third(array: tf.Tensor, matrix: tf.Tensor) -> tf.Tensor:
    """Multiplies [a, b, c] with [n, c]."""
    size = tf.shape(array)

    def product() -> tf.Tensor:
        flat = tf.reshape(array, (size[0] * size[1], size[2]))
        return tf.reshape(tf.matmul(flat, matrix, transpose_b=True), (size[0], size[1], tf.shape(matrix)[0]))

    return _unless_square(array, matrix, product)


def _unless_square(array: tf.Tensor, matrix: tf.Tensor, product) -> tf.Tensor:
    result = tf.cond(tf.shape(matrix)[0] == tf.shape(matrix)[1], lambda: array, product)
    return tf.ensure_shape(result, (None, None, None))


def _rounded(value: tf.Tensor) -> tf.Tensor:
    digits = 10.0**HALVES
    return tf.maximum(1, tf.cast(tf.round(tf.round(value * digits) / digits), tf.int32))  # half to even, as Python's


def _is_anisotropic(grid: tf.Tensor, anisotropy: float) -> tf.Tensor:
    return tf.reduce_max(grid) / tf.reduce_min(grid) > anisotropy * (1 + SPACING_TOLERANCE)


def _coarsest(grid: tf.Tensor) -> tf.Tensor:
    """The axis of the largest voxels, if it is one."""
    largest = tf.cast(grid > (1 - SPACING_TOLERANCE) * tf.reduce_max(grid), tf.int32)
    return tf.where(tf.reduce_sum(largest) == 1, tf.argmax(largest, output_type=tf.int32), -1)


def _linear(places: tf.Tensor, old: tf.Tensor) -> tf.Tensor:
    last = tf.cast(old - 1, tf.float64)
    places = tf.clip_by_value(places, tf.zeros_like(last), last)
    lower = tf.floor(places)
    share = (places - lower)[:, None]
    ends = [tf.one_hot(tf.cast(end, tf.int32), old, dtype=tf.float64) for end in (lower, tf.minimum(lower + 1, last))]
    return (1 - share) * ends[0] + share * ends[1]


def _cubic(places: tf.Tensor, old: tf.Tensor) -> tf.Tensor:
    """Four B-splines at each place, times the coefficients' dependence on the values.

    Unser, "Splines: a perfect fit for signal and image processing" (1999): the filter's response to a unit is sqrt(3) pole^|distance|.
    """
    base = tf.floor(places)
    t = places - base
    weights = ((1 - t) ** 3 / 6, (3 * t**3 - 6 * t**2 + 4) / 6, (-3 * t**3 + 3 * t**2 + 3 * t + 1) / 6, t**3 / 6)
    return tf.add_n([weight[:, None] * _coefficients(base + shift, old) for weight, shift in zip(weights, (-1, 0, 1, 2))])


def _coefficients(index: tf.Tensor, old: tf.Tensor) -> tf.Tensor:
    """How the coefficients of the indices, float64 [n], depend on the values [old], which go on beyond the ends as they end."""
    values, size = tf.range(tf.cast(old, tf.float64), dtype=tf.float64)[None], tf.cast(old, tf.float64)
    index = index[:, None]
    response = math.sqrt(3) * _power(tf.abs(index - values))
    before = tf.where(values == 0, _tail(index + 1), tf.zeros_like(response))
    after = tf.where(values == size - 1, _tail(size - index), tf.zeros_like(response))
    return response + before + after


def _tail(first: tf.Tensor) -> tf.Tensor:
    """The sum of the response from a distance on; all of it is 1."""
    beyond = math.sqrt(3) / (1 - _POLE)
    return tf.where(first > 0, beyond * _power(tf.abs(first)), 1 - beyond * _power(tf.abs(1 - first)))


def _power(exponent: tf.Tensor) -> tf.Tensor:
    """The pole to the power of whole numbers, as float64."""
    sign = 1 - 2 * tf.math.floormod(exponent, 2)
    return sign * tf.exp(exponent * math.log(-_POLE))
