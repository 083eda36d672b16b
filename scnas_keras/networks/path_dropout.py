"""Where training leaves out results of a derived network's edges, which are called its paths here."""

import contextlib
import contextvars
from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Any

import keras
from keras import layers, ops

from scnas_keras.operations.base import serializable

_FACTORS: contextvars.ContextVar[Mapping[str, Any]] = contextvars.ContextVar("factors", default=MappingProxyType({}))


@serializable
class PathDropout(layers.Layer):
    """The result of an edge, [batch, *space, channels]: as it is, but within `scaled_paths`."""

    def call(self, x):
        factors = _FACTORS.get().get(self.name)
        if factors is None:
            return x
        return x * ops.reshape(ops.cast(factors, x.dtype), (-1, *[1] * (len(x.shape) - 1)))

    def compute_output_shape(self, input_shape):
        return input_shape


def path_names(network: keras.Model) -> list[str]:
    """The names of a network's paths, in their order; none if it was built without."""
    return [layer.name for layer in network.layers if isinstance(layer, PathDropout)]


@contextlib.contextmanager
def scaled_paths(factors: Mapping[str, Any]) -> Iterator[None]:
    """Within, and in what is traced there, networks multiply the results of these paths, by name, by factors [batch], one an item.

    Replicas, which TensorFlow traces in threads of their own, each have theirs.
    """
    token = _FACTORS.set(factors)
    try:
        yield
    finally:
        _FACTORS.reset(token)
