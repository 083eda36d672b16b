"""A trained network with everything around it as TensorFlow functions: a scan in, its segmentation out."""

from collections.abc import Callable

import keras
import numpy as np
import tensorflow as tf

from scnas_keras.inference.companion import Companion
from scnas_keras.preprocessing.plan import PreprocessingPlan
from scnas_keras.serving.preparing import Grids, prepare
from scnas_keras.serving.restoring import every_map, restored, strongest
from scnas_keras.serving.tiling import Tiles

_AROUND = "CPU:0"
"""All but the network: bands of probabilities need more memory than a GPU has, and its float32 products keep 10 bits (TF32)."""


class WholeScan:
    """The functions `segment` and `segment_probabilities` of a model. They take one dict, as `keras.layers.TFSMLayer` does:
    `image`, float32 [x, y, z, channels], axes to the right, to the front, upwards; `spacing`, float32 [3], its voxels' sizes in mm.

    Args:
        network: [batch, *patch, channels] to logits.
        companion: how scans are prepared, and the patch.
    """

    def __init__(self, network: keras.Model, companion: Companion):
        self._plan, patch = companion.plan, companion.patch_size
        channels, classes = len(self._plan.channels), len(self._plan.labels)
        function = _slice_by_slice(network) if len(patch) == 2 else lambda tile: network(tile, training=False)
        patch = patch if len(patch) == 3 else (1, *patch)
        specs = tf.TensorSpec((None, None, None, channels), tf.float32), tf.TensorSpec((3,), tf.float32)
        self._prepare = tf.function(lambda *scan: prepare(*scan, self._plan), input_signature=specs, autograph=False)
        traced = tf.function(function, input_signature=[tf.TensorSpec((1, *patch, channels))], autograph=False)
        self._tiles = Tiles(traced, patch, channels, classes)
        self.signature = [
            {
                "image": tf.TensorSpec((None, None, None, channels), tf.float32, name="image"),
                "spacing": tf.TensorSpec((3,), tf.float32, name="spacing"),
            }
        ]

    def segment(self, scan: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        """The segmentation, uint8 [x, y, z]; 0 outside of the box of voxels that aren't 0."""
        with tf.device(_AROUND):
            image, grids = self._prepare(scan["image"], scan["spacing"])
            inside = restored(image, self._tiles, grids, self._plan, strongest, tf.uint8)
            return {"segmentation": _in_scan(tf.ensure_shape(inside, (None, None, None)), grids, self._plan)}

    def segment_probabilities(self, scan: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        """The classes' probabilities, float32 [x, y, z, classes]; 1 for the background outside of that box."""
        with tf.device(_AROUND):
            image, grids = self._prepare(scan["image"], scan["spacing"])
            inside = restored(image, self._tiles, grids, self._plan, every_map, tf.float32)
            inside = tf.ensure_shape(inside, (None, None, None, self._tiles.classes))
            background, others = _in_scan(inside[..., :1], grids, self._plan, 1), _in_scan(inside[..., 1:], grids, self._plan)
            return {"probabilities": tf.concat([background, others], axis=-1)}


def _in_scan(inside: tf.Tensor, grids: Grids, plan: PreprocessingPlan, around: int = 0) -> tf.Tensor:
    """What was found in the box, along the plan's axes, as an array of the scan's, and what is around it."""
    turned = tf.transpose(inside, [*np.argsort(plan.transpose), *range(3, inside.shape.rank)])
    more = tf.zeros((inside.shape.rank - 3, 2), tf.int32)
    return tf.pad(turned, tf.concat([tf.stack([grids.start, grids.shape - grids.stop], axis=1), more], axis=0), constant_values=around)


def _slice_by_slice(network: keras.Model) -> Callable[[tf.Tensor], tf.Tensor]:
    """A network of slices as one of volumes one voxel thick."""
    return lambda tile: network(tile[:, 0], training=False)[:, None]
