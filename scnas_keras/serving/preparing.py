"""From a scan to the network's input in a TensorFlow graph: the steps of `preprocessing.scans.preprocess_image`."""

from collections.abc import Callable
from typing import NamedTuple

import tensorflow as tf

from scnas_keras.inference.seen import FEWEST, SHRINKS
from scnas_keras.preprocessing.normalization import AFTER_RESAMPLING, MIN_SCALE
from scnas_keras.preprocessing.plan import Normalization, PreprocessingPlan
from scnas_keras.serving import splines
from scnas_keras.serving.holes import with_holes_filled
from scnas_keras.serving.loops import repeat


class Grids(NamedTuple):
    """Where a prepared scan lies.

    Attributes:
        shape: int32 [3], voxels of the scan along x, y, z.
        start, stop: int32 [3], its nonzero box there.
        size: three int32 scalars, the box along the plan's axes.
        prepared: three int32 scalars, the network's grid.
        coarse: int32, the axis that is resampled by itself; -1 for none.
    """

    shape: tf.Tensor
    start: tf.Tensor
    stop: tf.Tensor
    size: list[tf.Tensor]
    prepared: list[tf.Tensor]
    coarse: tf.Tensor


def prepare(image: tf.Tensor, spacing: tf.Tensor, plan: PreprocessingPlan) -> tuple[tf.Tensor, Grids]:
    """Crops, normalises and resamples a scan.

    Args:
        image: float32 [x, y, z, channels], axes to the right, to the front, upwards.
        spacing: float32 [3], mm.
        plan: how.

    Returns:
        float32 [a, b, c, channels] along the plan's axes, and where it lies.

    Raises:
        tf.errors.InvalidArgumentError: when it runs, for the scans that `preprocess_image` and `check_grid` refuse.
    """
    spacing, shape = tf.cast(spacing, tf.float64), tf.shape(image)[:3]
    start, stop = _nonzero_box(_checked(image, spacing))
    if plan.slice_size:
        start, stop = tf.zeros_like(start), shape
    cropped = tf.transpose(
        tf.slice(image, tf.pad(start, [[0, 1]]), tf.pad(stop - start, [[0, 1]], constant_values=-1)), (*plan.transpose, 3)
    )
    size = tf.unstack(tf.shape(cropped)[:3])
    steps = [spacing[axis] for axis in plan.transpose]
    wanted = _prepared_size(size, steps, plan)
    whole = [shape[axis] for axis in plan.transpose]
    with tf.control_dependencies(_checks_of_grid(whole, _prepared_size(whole, steps, plan))):
        prepared = [tf.identity(own) for own in wanted]
    grids = Grids(shape, start, stop, size, prepared, splines.coarse_axis(steps, plan.target_spacing, plan.resampling.anisotropy))
    inside = with_holes_filled(tf.reduce_any(cropped != 0, axis=-1)) if any(plan.mask_channels) else None
    outside = None if inside is None else _resized_mask(~inside, grids, plan)
    channels = [_prepared(cropped[..., index], channel, inside, outside, grids, plan) for index, channel in enumerate(plan.channels)]
    return tf.stack(channels, axis=-1), grids


def _prepared_size(size: list[tf.Tensor], steps: list[tf.Tensor], plan: PreprocessingPlan) -> list[tf.Tensor]:
    if plan.slice_size:
        return [size[0], *map(tf.constant, plan.slice_size)]
    return splines.resampled_size(size, steps, plan.target_spacing)


def _prepared(
    values: tf.Tensor, channel: Normalization, inside: tf.Tensor | None, outside: tf.Tensor | None, grids: Grids, plan: PreprocessingPlan
) -> tf.Tensor:
    late = channel.scheme == AFTER_RESAMPLING
    values = values if late else _normalized(values, channel, inside)
    values = _resized(values, grids, plan)
    if late:
        values = _normalized(values, channel, None if outside is None else ~outside)
    return tf.where(outside, 0.0, values) if channel.use_mask else values


def _checked(image: tf.Tensor, spacing: tf.Tensor) -> tf.Tensor:
    finite = tf.reduce_all(tf.math.is_finite(image))
    checks = [
        tf.debugging.assert_equal(finite, True, "image: voxels are NaN or infinite. Replace them, for example by 0."),
        tf.debugging.assert_equal(
            tf.reduce_all(tf.math.is_finite(spacing) & (spacing > 0)), True, "spacing: three sizes in mm above 0 are needed, along x, y, z."
        ),
        tf.debugging.assert_equal(tf.reduce_any(image != 0), True, "image: every voxel is 0."),
    ]
    with tf.control_dependencies([check for check in checks if check is not None]):
        return tf.identity(image)


def _checks_of_grid(size: list[tf.Tensor], wanted: list[tf.Tensor]) -> list[tf.Operation]:
    """Of the whole scan's voxels, and how many the network would see."""
    vanishing = [(new < FEWEST) & (tf.cast(old, tf.float32) > SHRINKS * tf.cast(new, tf.float32)) for old, new in zip(size, wanted)]
    text = "spacing: at the network's spacing next to nothing is left of the scan. Are these millimetres, along x, y, z?"
    check = tf.debugging.assert_equal(tf.reduce_any(tf.stack(vanishing)), False, text)
    return [] if check is None else [check]


def _nonzero_box(image: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    present = tf.reduce_any(image != 0, axis=-1)
    found = [tf.where(tf.reduce_any(present, axis=[other for other in range(3) if other != axis]))[:, 0] for axis in range(3)]
    return (
        tf.cast(tf.stack([places[0] for places in found]), tf.int32),
        tf.cast(tf.stack([places[-1] + 1 for places in found]), tf.int32),
    )


def _normalized(values: tf.Tensor, channel: Normalization, inside: tf.Tensor | None) -> tf.Tensor:
    if channel.scheme == "ct":
        return (tf.clip_by_value(values, channel.low, channel.high) - channel.mean) / channel.std
    if channel.scheme in ("zscore", AFTER_RESAMPLING):
        inside = inside if channel.use_mask else None
        mean, std = _mean_and_std(values, inside)
        rough = tf.cast(mean, tf.float32)  # and what float32 leaves of it, since a mean may be many standard deviations
        rest = tf.cast(mean - tf.cast(rough, tf.float64), tf.float32)
        scaled = ((values - rough) - rest) / tf.cast(tf.maximum(std, MIN_SCALE), tf.float32)
        return scaled if inside is None else tf.where(inside, scaled, 0.0)
    low, high = tf.reduce_min(values), tf.reduce_max(values)
    if channel.scheme == "rescale_to_0_1":
        return (values - low) / tf.maximum(high - low, MIN_SCALE)
    if channel.scheme == "fixed":
        return ((values - low) / tf.maximum(high - low, MIN_SCALE) - channel.mean) / channel.std
    if channel.scheme == "rgb_to_0_1":
        check = tf.debugging.assert_equal((low >= 0) & (high <= 255), True, f"image: channel {channel.channel}: colours go from 0 to 255.")
        with tf.control_dependencies([check] if check is not None else []):
            return values / 255
    return values


def _mean_and_std(values: tf.Tensor, inside: tf.Tensor | None) -> tuple[tf.Tensor, tf.Tensor]:
    count = tf.cast(tf.size(values, tf.int64) if inside is None else tf.math.count_nonzero(inside), tf.float64)
    mean = _sum_of(values, inside, lambda row: row) / count
    return mean, tf.sqrt(_sum_of(values, inside, lambda row: tf.square(row - mean)) / count)


def _sum_of(values: tf.Tensor, inside: tf.Tensor | None, function: Callable[[tf.Tensor], tf.Tensor]) -> tf.Tensor:
    """The sum in float64, of which only a row at a time is made."""

    def turn(index: tf.Tensor, total: tf.Tensor) -> list[tf.Tensor]:
        row = function(tf.cast(values[index], tf.float64))
        return [total + tf.reduce_sum(row if inside is None else tf.where(inside[index], row, tf.zeros_like(row)))]

    return repeat(tf.shape(values)[0], turn, [tf.constant(0.0, tf.float64)])[0]


def _resized(values: tf.Tensor, grids: Grids, plan: PreprocessingPlan) -> tf.Tensor:
    """Splines of order 3 overshoot, and are clipped: see `preprocessing.resampling.resize`."""
    order, coarse_order = plan.resampling.image_order, plan.resampling.coarse_axis_order
    matrices = splines.spline_matrices(grids.size, grids.prepared, order, grids.coarse, coarse_order)
    result = splines.apply(values, matrices)
    cubic = [tf.where(grids.coarse == axis, coarse_order, order) == 3 for axis in range(3)]
    overshoots = tf.reduce_any([one & (old != new) for one, old, new in zip(cubic, grids.size, grids.prepared)])

    def clipped() -> tf.Tensor:
        across = [tf.where(grids.coarse == axis, coarse_order, order) == 0 for axis in range(3)]
        low, high = (_along(values, across, grids, reduce) for reduce in (tf.reduce_min, tf.reduce_max))
        return tf.maximum(tf.minimum(result, high), low)

    return tf.cond(overshoots, clipped, lambda: result)


def _along(values: tf.Tensor, across: list[tf.Tensor], grids: Grids, reduce: Callable[..., tf.Tensor]) -> tf.Tensor:
    """The least or most of a scan, slice by slice across axes of order 0, in shapes that broadcast with the result."""
    for axis in range(3):
        kept = lambda values=values: values  # noqa: E731
        values = tf.cond(across[axis], kept, lambda values=values, axis=axis: reduce(values, axis=axis, keepdims=True))
    for axis, (old, new) in enumerate(zip(grids.size, grids.prepared)):
        chosen = lambda values=values, axis=axis, old=old, new=new: tf.gather(values, splines.nearest(old, new), axis=axis)  # noqa: E731
        values = tf.cond(across[axis], chosen, lambda values=values: values)
    return values


def _resized_mask(mask: tf.Tensor, grids: Grids, plan: PreprocessingPlan) -> tf.Tensor:
    """Both values as maps of 0 and 1; a voxel gets the stronger, False of equals."""
    matrices = splines.spline_matrices(
        grids.size, grids.prepared, plan.resampling.label_order, grids.coarse, plan.resampling.coarse_axis_order
    )
    yes, no = (splines.apply(tf.cast(one, tf.float32), matrices) for one in (mask, ~mask))
    return yes > no
