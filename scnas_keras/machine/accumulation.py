"""A device's share of a batch in slices, one after the other, so that a large batch takes the memory of a slice."""

from collections.abc import Callable, Sequence

import tensorflow as tf

from scnas_keras.errors import ConfigError


def count_slices(share: int | None, accumulate: int) -> int:
    """In how many slices a share of a batch is computed: `accumulate`, or one a patch if those are fewer.

    Args:
        share: patches of the share; None if they are known only as it runs.
        accumulate: slices that are asked for.

    Raises:
        ConfigError: the slices wouldn't be of one size.
    """
    if accumulate == 1:
        return 1
    if share is None:
        raise ConfigError(f"--accumulate={accumulate}: batches need a size that is known before; give the dataset drop_remainder=True.")
    slices = min(accumulate, share)
    if share % slices:
        possible = max(count for count in range(1, slices) if share % count == 0)
        raise ConfigError(f"--accumulate={accumulate}: {share} patches a device can't be divided equally; use --accumulate={possible}.")
    return slices


def over_slices(
    compute: Callable[..., Sequence[tf.Tensor]], batch: Sequence[tf.Tensor], slices: int, shapes: Sequence[Sequence[int]]
) -> list[tf.Tensor]:
    """The sums over a batch's slices of what `compute` returns for one; it is traced once.

    Args:
        compute: of a slice's tensors.
        batch: tensors [batch, ...] of known size.
        slices: that divide the batch.
        shapes: of the tensors that `compute` returns, all of float32.
    """
    if slices == 1:
        return list(compute(*batch))
    parts = [tf.reshape(whole, (slices, whole.shape[0] // slices, *whole.shape[1:])) for whole in batch]

    def add(number, *sums):
        return number + 1, *(total + own for total, own in zip(sums, compute(*(part[number] for part in parts)), strict=True))

    return list(tf.while_loop(lambda number, *_: number < slices, add, (0, *map(tf.zeros, shapes)), parallel_iterations=1)[1:])
