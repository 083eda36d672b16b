"""Fixed networks: plain functional Keras models with dynamic spatial shape, `keras.ops` only."""

from scnas_keras.networks.derived import from_genotype

__all__ = ["from_genotype"]
