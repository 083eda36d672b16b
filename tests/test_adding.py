"""What docs/architecture.md says under "To add something", done to the letter: an operation and a space, each by new files alone."""

import sys

import keras
import numpy as np
import pytest
import tensorflow as tf

from scnas_keras import operations
from scnas_keras.networks import from_genotype
from scnas_keras.networks.cost import network_cost
from scnas_keras.operations import registry
from scnas_keras.spaces import catalog
from scnas_keras.spaces.cost import cost_tables
from scnas_keras.spaces.genotype import Genotype
from scnas_keras.spaces.known import find_space, space_names
from scnas_keras.spaces.random_genotypes import random_genotype
from scnas_keras.supernet.inherit import inherit
from scnas_keras.supernet.supernet import Supernet
from scnas_keras.training.losses import JaccardLoss

FACTS = '''"""Two pointwise convolutions with a normalisation behind each."""

from scnas_keras.operations.facts import Facts


def kernels(rank, channels):
    return {"squeeze": ((channels, channels // 2), 0.7), "expand": ((channels // 2, channels), 1.0)}


OPERATIONS = (Facts("bottleneck", "bottleneck", "bottleneck", kernels=kernels, normalizations=(0.5, 1)),)
'''
LAYER = '''"""The bottleneck as a Keras layer."""

from keras import ops

from scnas_keras.operations.base import InstanceNorm, Operation, serializable, subsample
from scnas_keras.operations.bottleneck.facts import kernels


@serializable
class Bottleneck(Operation):
    """Squeezes to half the channels and expands again, each with an instance normalisation."""

    def __init__(self, affine=True, **kwargs):
        super().__init__(**kwargs)
        self.affine = affine
        self.norms = [InstanceNorm(affine, dtype=self.dtype_policy) for _ in range(2)]

    def build(self, input_shape):
        for name, (shape, stddev) in kernels(len(input_shape) - 2, input_shape[-1]).items():
            setattr(self, name, self.add_weight(name=name, shape=shape, initializer="glorot_normal"))
        for norm, kernel in zip(self.norms, (self.squeeze, self.expand)):
            norm.build((*input_shape[:-1], kernel.shape[-1]))

    def call(self, x):
        x = subsample(x) if self.stride == 2 else x
        for norm, kernel in zip(self.norms, (self.squeeze, self.expand)):
            x = norm(ops.matmul(ops.relu(x), kernel))
        return x

    def get_config(self):
        return {**super().get_config(), "affine": self.affine}


LAYER = Bottleneck
'''
SPACE = '''"""A U of two kinds of edges."""

from scnas_keras.spaces.u_shape import DECODER, ENCODER, EXPANSION, REDUCTION, u_shaped

RANKS = (2, 3)


def build(rank):
    return u_shaped("bottlenecks", rank, ("bottleneck", "max_pool_3", "zero"), 1, (REDUCTION, ENCODER, EXPANSION, DECODER))
'''


@pytest.fixture
def added(tmp_path, monkeypatch):
    """The files where the page says, but in a folder that only this test sees."""
    (tmp_path / "operations" / "bottleneck").mkdir(parents=True)
    for name, text in (("__init__.py", ""), ("facts.py", FACTS), ("layer.py", LAYER)):
        (tmp_path / "operations" / "bottleneck" / name).write_text(text)
    (tmp_path / "catalog").mkdir()
    (tmp_path / "catalog" / "bottlenecks.py").write_text(SPACE)
    monkeypatch.setattr(operations, "__path__", [*operations.__path__, str(tmp_path / "operations")])
    monkeypatch.setattr(catalog, "__path__", [*catalog.__path__, str(tmp_path / "catalog")])


@pytest.mark.nightly
@pytest.mark.parametrize("rank", [2, 3])
def test_an_operation_and_a_space_are_searched_derived_and_trained(added, rank, tmp_path):
    assert "bottlenecks" in space_names()
    space, patch = find_space("bottlenecks", rank), (8, 8, 8)[:rank]
    rng = np.random.default_rng(0)
    images = tf.constant(rng.normal(size=(1, *patch, 2)), tf.float32)
    labels = tf.constant(rng.integers(0, 3, (1, *patch)), tf.int32)

    supernet = Supernet(space, 2, 3, 8, seed=1)
    supernet.compile(keras.optimizers.SGD(0.5), keras.optimizers.SGD(0.5), JaccardLoss())
    before = [np.array(v) for v in supernet.trainable_variables]
    tf.function(lambda: supernet.train_step(((images, labels), (images, labels))), autograph=False)()
    moved = [np.abs(np.array(v) - old).max() > 0 for v, old in zip(supernet.trainable_variables, before)]
    assert all(moved)

    genotype = random_genotype(space, 0, 0)
    genotype.save(tmp_path / "genotype.json")
    assert Genotype.load(tmp_path / "genotype.json") == genotype
    cost = cost_tables(space, 8, patch, 2, 3).of_genotype(genotype)
    network = inherit(supernet, genotype)
    built = network_cost(network, patch)
    assert (cost.parameters, cost.multiply_adds) == (built.parameters, built.multiply_adds)

    network.save(tmp_path / "model.keras")
    again = keras.models.load_model(tmp_path / "model.keras", safe_mode=True)
    np.testing.assert_allclose(again(images), network(images), atol=1e-5)
    fresh = from_genotype(genotype, 2, 3, 8)
    fresh.compile("sgd", JaccardLoss(), jit_compile=False)
    assert np.isfinite(fresh.fit(images, labels, verbose=0).history["loss"][0])


def test_a_name_that_is_taken_is_refused(tmp_path, monkeypatch):
    """Else a new folder would change what an old space means."""
    (tmp_path / "twin").mkdir()
    (tmp_path / "twin" / "__init__.py").touch()
    (tmp_path / "twin" / "facts.py").write_text(FACTS.replace('Facts("bottleneck"', 'Facts("conv_3"'))
    monkeypatch.setattr(operations, "__path__", [*operations.__path__, str(tmp_path)])
    with pytest.raises(ValueError, match="twin declares an operation conv_3, and scnas_keras.operations.conv has one of that name"):
        registry.known_operations()
    for name in [name for name in sys.modules if name.startswith(f"{operations.__name__}.twin")]:
        monkeypatch.delitem(sys.modules, name)
