"""Operations that no space of the package has, to be found beside its own for as long as a test needs them."""

import contextlib
import importlib
import pathlib
import sys
from collections.abc import Iterator

import scnas_keras.operations as package

TWO_CONVOLUTIONS = (
    """
import math

from scnas_keras.operations.facts import Facts


def kernels(rank, channels):
    shape = (3,) * rank + (channels, channels)
    return {name: (shape, math.sqrt(2 / (3**rank * channels))) for name in ("first", "second")}


def first_only(rank, channels):
    return {"first": kernels(rank, channels)["first"]}


def second_before_first(rank, channels):
    return dict(reversed(kernels(rank, channels).items()))


def narrower(rank, channels):
    return {name: (shape[1:], stddev) for name, (shape, stddev) in kernels(rank, channels).items()}


OPERATIONS = (
    Facts("two_convolutions", "two conv", "conv", kernels=kernels, normalizations=(1, 1)),
    Facts("first_told", "first told", "conv", kernels=first_only, normalizations=(1, 1)),
    Facts("told_backwards", "told backwards", "conv", kernels=second_before_first, normalizations=(1, 1)),
    Facts("told_narrower", "told narrower", "conv", kernels=narrower, normalizations=(1, 1)),
)
""",
    '''
from keras import ops

from scnas_keras.operations.base import InstanceNorm, Operation, serializable


@serializable
class TwoConvolutions(Operation):
    """Twice: LeakyReLU - 3-wide convolution - InstanceNorm; the second has the stride."""

    def __init__(self, affine=True, **kwargs):
        super().__init__(**kwargs)
        self.affine = affine
        self.between, self.after = (InstanceNorm(affine, dtype=self.dtype_policy) for _ in range(2))

    def build(self, shape):
        kernel = (3,) * (len(shape) - 2) + (shape[-1], shape[-1])
        self.first, self.second = (self.add_weight(name=name, shape=kernel) for name in ("first", "second"))
        self.between.build(shape)
        self.after.build(shape)

    def call(self, x):
        y = self.between(ops.conv(ops.leaky_relu(x, 0.01), self.first, padding="same"))
        return self.after(ops.conv(ops.leaky_relu(y, 0.01), self.second, strides=self.stride, padding="same"))

    def get_config(self):
        return {**super().get_config(), "affine": self.affine}


LAYER = TwoConvolutions
''',
)
"""Two kernels with a normalisation between them, as what it is and with facts that tell something else."""

SIGMOID = (
    """
from scnas_keras.operations.facts import Facts

OPERATIONS = (Facts("sigmoid", "sigmoid", "sigmoid"),)
""",
    '''
from keras import ops

from scnas_keras.operations.base import Operation, serializable, subsample


@serializable
class Sigmoid(Operation):
    """Of every second voxel, if strided."""

    def call(self, x):
        return ops.sigmoid(subsample(x) if self.stride == 2 else x)


LAYER = Sigmoid
''',
)
"""Without kernels, and not linear."""

RESIDUAL_CONV = (
    """
from scnas_keras.operations.conv.facts import kernels
from scnas_keras.operations.facts import Facts

OPERATIONS = (Facts("residual_conv", "residual conv", "conv", kernels=kernels, normalizations=(1,)),)
""",
    '''
from scnas_keras.operations.base import serializable, subsample
from scnas_keras.operations.conv.layer import Conv


@serializable
class ResidualConv(Conv):
    """The convolution and what it reads: more than its parent's two steps."""

    merges = False

    def call(self, x):
        return super().call(x) + (subsample(x) if self.stride == 2 else x)


LAYER = ResidualConv
''',
)
"""A `NormalizedConv` whose `call` is its own."""

STATEFUL = (
    """
from scnas_keras.operations.facts import Facts

OPERATIONS = tuple(Facts(name, name, "stateful", {"part": name}) for name in ("dropout", "batch_norm"))
""",
    '''
from keras import layers

from scnas_keras.operations.base import Operation, serializable, subsample


@serializable
class Stateful(Operation):
    """One of Keras' layers that remember something."""

    def __init__(self, part, **kwargs):
        super().__init__(**kwargs)
        self.part = layers.Dropout(0.5) if part == "dropout" else layers.BatchNormalization(center=False, scale=False)

    def build(self, shape):
        self.part.build(shape)

    def call(self, x):
        return self.part(subsample(x) if self.stride == 2 else x)


LAYER = Stateful
''',
)
"""The seed of a dropout, and the moving mean of a batch normalisation."""


@contextlib.contextmanager
def known_too(folder: pathlib.Path, **sources: tuple[str, str]) -> Iterator[None]:
    """Writes operations (name of a package -> text of its `facts.py` and `layer.py`) to a folder, and lets the package find them."""
    for name, (facts, layer) in sources.items():
        (folder / name).mkdir()
        (folder / name / "__init__.py").write_text("")
        (folder / name / "facts.py").write_text(facts)
        (folder / name / "layer.py").write_text(layer)
    before, package.__path__ = package.__path__, [*package.__path__, str(folder)]
    importlib.invalidate_caches()
    try:
        yield
    finally:
        package.__path__ = before
        for name in sources:
            vars(package).pop(name, None)
            for module in [m for m in sys.modules if f"{m}.".startswith(f"{package.__name__}.{name}.")]:
                del sys.modules[module]
