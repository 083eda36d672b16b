"""A network with its softmax, for formats that hold a network and no more."""

import keras
import numpy as np

from scnas_keras.networks.divisors import divisors


def with_softmax(network: keras.Model) -> keras.Model:
    """The network from `image` to `probabilities`, called once, as Keras' exporters want it."""
    shape = network.input_shape[1:]
    image = keras.Input(shape, name="image")
    model = keras.Model(image, keras.layers.Activation("softmax", name="probabilities")(network(image)))
    size = [step if fixed is None else fixed for fixed, step in zip(shape, divisors(network))]
    model(np.zeros((1, *size, shape[-1]), np.float32))
    return model
