"""Zeros as a Keras layer."""

from keras import ops

from scnas_keras.operations.base import Operation, serializable, subsample


@serializable
class Zero(Operation):
    """Zeros of the output's shape: the absent edge, as a search sees it."""

    def call(self, x):
        return ops.zeros_like(subsample(x) if self.stride == 2 else x)


LAYER = Zero
