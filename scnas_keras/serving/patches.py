"""A network with its softmax, for formats that hold a network and no more."""

import contextlib
import warnings
from collections.abc import Iterator

import keras
import numpy as np

from scnas_keras.networks.divisors import divisors
from scnas_keras.serving.names import CantHold


def with_softmax(network: keras.Model) -> keras.Model:
    """The network from `image` to `probabilities`, called once, as Keras' exporters want it."""
    shape = network.input_shape[1:]
    image = keras.Input(shape, name="image")
    model = keras.Model(image, keras.layers.Activation("softmax", name="probabilities")(network(image)))
    model(np.zeros((1, *divisors(network), shape[-1]), np.float32))
    return model


@contextlib.contextmanager
def converted() -> Iterator[None]:
    """Around a converter, which fails in any way where its format lacks an operation: told as `CantHold`."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of the converters' own use of NumPy
            yield
    except (OSError, MemoryError):
        raise
    except Exception as error:  # noqa: BLE001
        raise CantHold(f"{type(error).__name__}: {' '.join(str(error).split())[:300]}") from error
