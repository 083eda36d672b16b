"""Half-overlapping tiles through a network in a TensorFlow graph, a band of them at a time; see `inference.sliding_window`."""

import dataclasses
from collections.abc import Callable, Sequence

import tensorflow as tf

from scnas_keras.inference.sliding_window import tile_step, tile_weight
from scnas_keras.serving.loops import repeat


@dataclasses.dataclass(frozen=True)
class Tiles:
    """How a network sees a scan.

    Attributes:
        network: [1, *patch_size, channels] to logits [1, *patch_size, classes].
        patch_size: voxels of a tile, along the plan's axes.
        channels, classes: how many.
    """

    network: Callable[[tf.Tensor], tf.Tensor]
    patch_size: tuple[int, int, int]
    channels: int
    classes: int

    def over(self, image: tf.Tensor, use: Callable[..., Sequence[tf.Tensor]], start: Sequence[tf.Tensor]) -> list[tf.Tensor]:
        """Hands the rows of probabilities on, band by band, as soon as no other tile adds to them.

        Args:
            image: float32 [a, b, c, channels], prepared; padded with zeros where it is smaller than a tile.
            use: called with the band's number, float32 [rows, b, c, classes], and the state; gives the new state.
            start: the state before the first band.
        """
        size = tf.unstack(tf.shape(image)[:3])
        padded = [tf.maximum(own, patch) for own, patch in zip(size, self.patch_size)]
        before = [(whole - own) // 2 for whole, own in zip(padded, size)]
        after = [whole - own - first for whole, own, first in zip(padded, size, before)]
        image = tf.pad(image, [*map(list, zip(before, after)), [0, 0]])
        begins = [tile_starts(whole, patch) for whole, patch in zip(padded, self.patch_size)]
        ends = tf.concat([begins[0][1:], [padded[0]]], axis=0)

        def band(index: tf.Tensor, held: tf.Tensor, *state: tf.Tensor) -> list[tf.Tensor]:
            begin, end = begins[0][index], ends[index]
            held += self._band(image, begin, begins[1:], padded)
            first, last = tf.maximum(begin, before[0]) - begin, tf.minimum(end, before[0] + size[0]) - begin
            done = held[first:last, before[1] : before[1] + size[1], before[2] : before[2] + size[2]]
            rest = tf.pad(held[end - begin :], [[0, end - begin], *[[0, 0]] * 3])
            return [rest, *use(index, done[..., :-1] / done[..., -1:], *state)]

        nothing = tf.zeros((self.patch_size[0], padded[1], padded[2], self.classes + 1))
        return repeat(tf.size(begins[0]), band, [nothing, *start])[1:]

    def _band(self, image: tf.Tensor, begin: tf.Tensor, begins: Sequence[tf.Tensor], padded: Sequence[tf.Tensor]) -> tf.Tensor:
        """Weighted probabilities, and in the last channel weights, of the tiles that begin in a row: [patch, b, c, classes + 1]."""
        depth, height, width = self.patch_size
        weight = tf.constant(tile_weight(self.patch_size))[..., None]

        def line(index: tf.Tensor, total: tf.Tensor) -> list[tf.Tensor]:
            second = begins[0][index]

            def tile(index: tf.Tensor, line: tf.Tensor) -> list[tf.Tensor]:
                third = begins[1][index]
                part = tf.slice(image, tf.stack([begin, second, third, 0]), (*self.patch_size, self.channels))
                with tf.device(None):  # wherever the network runs best
                    logits = self.network(part[None])
                found = tf.nn.softmax(logits[0])
                weighted = tf.concat([found * weight, weight], axis=-1)
                return [line + tf.pad(weighted, [[0, 0], [0, 0], [third, padded[2] - third - width], [0, 0]])]

            empty = tf.zeros((depth, height, padded[2], self.classes + 1))
            (found,) = repeat(tf.size(begins[1]), tile, [empty])
            return [total + tf.pad(found, [[0, 0], [second, padded[1] - second - height], [0, 0], [0, 0]])]

        return repeat(tf.size(begins[0]), line, [tf.zeros((depth, padded[1], padded[2], self.classes + 1))])[0]


def tile_starts(size: tf.Tensor, patch: int) -> tf.Tensor:
    """See `inference.sliding_window.tile_starts`; int32."""
    room = tf.cast(tf.maximum(size - patch, 0), tf.float64)
    count = tf.cast(tf.math.ceil(room / tile_step(patch)), tf.int32)  # of steps
    step = room / tf.cast(tf.maximum(count, 1), tf.float64)
    return tf.cast(tf.round(tf.cast(tf.range(count + 1), tf.float64) * step), tf.int32)
