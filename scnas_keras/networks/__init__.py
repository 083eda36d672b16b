"""Keras layers of fixed networks, and the network of a genotype: functional models with dynamic spatial shape.

They are made of `keras.ops` only, but for one check of TensorFlow's graphs (`parts.Image`).

Importing this registers every layer, so that `keras.saving.load_model` reads a saved network.
"""

from scnas_keras.networks.derived import from_genotype
from scnas_keras.operations.build import register_layers

register_layers()

__all__ = ["from_genotype"]
