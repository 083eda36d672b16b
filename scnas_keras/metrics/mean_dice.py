"""Metrics on logits [batch, *space, classes] and integer labels [batch, *space]."""

from typing import Any

import keras
from keras import ops

from scnas_keras.metrics.labels import check_shapes, class_numbers


@keras.saving.register_keras_serializable("scnas_keras")
class MeanDice(keras.metrics.Metric):
    """Mean Dice of the foreground classes, from voxel counts pooled over all batches.

    Pooled counts are steadier on patches than a mean of patch values (nnU-Net calls this pseudo Dice). A class
    that was neither present nor predicted so far is left out; without any such class the result is 0. Labels that are neither class
    numbers nor the ignore label are an error; in a graph, as `fit` makes, the result is NaN. Shapes that don't belong together are an
    error.

    Args:
        num_classes: classes, background (0) included.
        ignore_label: label value of voxels that don't count.
    """

    def __init__(self, num_classes: int, ignore_label: int | None = None, name: str = "dice", **kwargs):
        super().__init__(name=name, **kwargs)
        self.num_classes, self.ignore_label = num_classes, ignore_label
        counts = {"shape": (num_classes,), "initializer": "zeros"}
        self.overlap = self.add_weight(name="overlap", **counts)
        self.total = self.add_weight(name="total", **counts)

    def update_state(self, labels, logits, sample_weight=None):
        if sample_weight is not None:
            raise ValueError("Mean Dice counts all voxels alike, and takes no sample_weight; mark voxels that don't count by ignore_label.")
        labels = ops.convert_to_tensor(labels)
        check_shapes(labels, logits, self.num_classes)
        labels, sound = class_numbers(labels, self.num_classes, self.ignore_label)
        labels = ops.reshape(labels, ops.shape(logits)[:-1])  # also of [batch, *space, 1]
        predicted: Any = ops.one_hot(ops.argmax(logits, axis=-1), self.num_classes, dtype=self.dtype)
        actual: Any = ops.one_hot(labels, self.num_classes, dtype=self.dtype)
        if self.ignore_label is not None:
            wanted: Any = ops.cast(labels != self.ignore_label, self.dtype)
            counted = wanted[..., None]
            predicted, actual = predicted * counted, actual * counted
        voxels = tuple(range(len(logits.shape) - 1))
        self.overlap.assign_add(ops.sum(predicted * actual, axis=voxels) * ops.cast(sound, self.dtype))
        self.total.assign_add(ops.sum(predicted + actual, axis=voxels))

    def per_class(self):
        """Dice of each foreground class, [num_classes - 1]; 0 where the class was never seen."""
        return 2 * self.overlap[1:] / ops.maximum(self.total[1:], 1)

    def result(self):
        seen = ops.cast(self.total[1:] > 0, self.dtype)
        total: Any = ops.sum(self.per_class())
        return total / ops.maximum(ops.sum(seen), 1)

    def get_config(self):
        return {**super().get_config(), "num_classes": self.num_classes, "ignore_label": self.ignore_label}
