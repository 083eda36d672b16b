"""Losses on logits [batch, *space, classes] and integer labels [batch, *space]."""

import keras
from keras import ops


@keras.saving.register_keras_serializable("scnas_keras")
class JaccardLoss(keras.losses.Loss):
    """Jaccard distance (Kayalibay et al., arXiv 1701.03056, section 3.4), the loss of SCNAS.

    For class c of one item, with probabilities p (softmax over all classes) and one-hot labels g:
    1 - (sum p g + s) / (sum (p^2 + g^2 - p g) + s), summed over the item's voxels; then the mean over classes,
    background included, and items. The smoothing s is far below one voxel; it defines the distance of a class that is
    neither present nor predicted as 0.

    Args:
        smooth: s.
    """

    def __init__(self, smooth: float = 1e-5, name: str = "jaccard", **kwargs):
        super().__init__(name=name, **kwargs)
        self.smooth = smooth

    def call(self, labels, logits):
        p = ops.softmax(ops.cast(logits, "float32" if self.dtype != "float64" else "float64"))
        g = ops.one_hot(ops.cast(labels, "int32"), logits.shape[-1], dtype=p.dtype)
        space = tuple(range(1, len(logits.shape) - 1))
        overlap = ops.sum(p * g, axis=space)
        union = ops.sum(p * p + g - p * g, axis=space)
        return ops.mean(1 - (overlap + self.smooth) / (union + self.smooth), axis=-1)

    def get_config(self):
        return {**super().get_config(), "smooth": self.smooth}
