"""Times of single parts as a training step computes them: forwards, backwards, with the update of their weights."""

import functools
import math
import statistics
import time
from collections.abc import Callable, Sequence

import keras
import numpy as np
import tensorflow as tf

from scnas_keras.kernels.fast_forms import use_fast_form
from scnas_keras.metrics.mean_dice import MeanDice
from scnas_keras.networks.derived import from_genotype
from scnas_keras.networks.parts import Align, Doubled, OutCell, Stem
from scnas_keras.operations.build import build_operation
from scnas_keras.spaces.known import find_space
from scnas_keras.spaces.milliseconds import ADD, ALIGN, CONCAT, HEAD, NETWORK, OPERATION, STEM, UPDATE, Part, reference
from scnas_keras.training.learner import Learner
from scnas_keras.training.losses import JaccardLoss
from scnas_keras.training.optimizers import Adam

_COPIES, _LARGE = (3, 2), 2e6
"""Equal layers that run side by side, as a cell's do: a kernel that keeps one core busy leaves the others to its neighbours. Two of those
that give more numbers than this."""
_ADDITIONS = 3
"""In a row."""
_VARIABLES = 12
"""That are updated at once."""
_SECONDS, _FEWEST, _MOST, _SLOW = 0.2, 3, 25, 1.0
"""Of repeating one measurement; one that is slow at first is measured from the second time on, others from the third."""

Step = Callable[..., list]


def milliseconds(part: Part) -> float:
    """The median time of a part."""
    step, arguments, times = {HEAD: _head_step, UPDATE: _update_step, NETWORK: _network_step}.get(part.kind, _layers_step)(part)
    taken = _repeated(tf.function(step, autograph=False), arguments)
    return 1e3 * max(taken - _call_seconds(), 0.0) / times


@functools.cache
def _call_seconds() -> float:
    """What calling a function takes by itself."""
    values = [tf.zeros((8,))] * 8
    return _repeated(tf.function(lambda *values: [value[:1] for value in values], autograph=False), values)


def _repeated(function: Callable, arguments: Sequence[tf.Tensor]) -> float:
    """Median seconds of a call, those that trace and warm up left out."""

    def once() -> float:
        before = time.perf_counter()
        function(*arguments)
        tf.test.experimental.sync_devices()
        return time.perf_counter() - before

    once()
    first = once()
    if first < _SLOW:
        first = once()
    return statistics.median(once() for _ in range(int(np.clip(_SECONDS / max(first, 1e-6), _FEWEST, _MOST))))


def _layers_step(part: Part) -> tuple[Step, list[tf.Tensor], int]:
    """A function of random inputs and gradients, its arguments, and how many times it does the part."""
    copies = 1 if part.kind == STEM else _COPIES[part.batch * math.prod(part.voxels) * part.outputs * part.count > _LARGE]
    layers, inputs = [_layer(part) for _ in range(copies)], [_inputs(part, number) for number in range(copies)]
    for layer in layers:
        layer.build(_shape(inputs[0]))
        use_fast_form(layer)
    given = layers[0].compute_output_shape(_shape(inputs[0]))
    shapes = given if isinstance(given, list) else [given]
    flat = [value for own in inputs for value in own]
    upstream = [_random(shape, number, 1) for number in range(copies) for shape in shapes]
    weights = [variable.value for layer in layers for variable in layer.trainable_variables]
    wanted = 0 if part.kind == STEM else len(flat)  # nobody asks for the image's gradient

    def step(*values):
        read, gradients = iter(values[: len(flat)]), list(values[len(flat) :])
        outputs = [result for layer, own in zip(layers, inputs) for result in _call(layer, [next(read) for _ in own])]
        return [*outputs, *_gradients(outputs, [*values[:wanted], *weights], gradients)]

    return step, [*flat, *upstream], copies * (_ADDITIONS if part.kind == ADD else 1)


def _head_step(part: Part) -> tuple[Step, list[tf.Tensor], int]:
    """The same for a head with the loss and the Dice of what it gives."""
    layer, dice, loss = OutCell(part.outputs, dtype="float32"), MeanDice(part.outputs, None, name="dice"), JaccardLoss()
    (features,) = _inputs(part, 0)
    layer.build(features.shape)
    labels = tf.random.stateless_uniform([part.batch, *(size << part.shift for size in part.voxels)], (2, 3), 0, part.outputs, tf.int32)
    doubled = Doubled(part.shift, smooth=True, dtype="float32")

    def step(values, labels):
        logits = doubled(layer(values))
        dice.update_state(labels, logits)
        weights = [variable.value for variable in layer.trainable_variables]
        return [*_gradients([loss(labels, logits)], [values, *weights]), dice.result()]

    return step, [features, labels], 1


def _update_step(part: Part) -> tuple[Step, list[tf.Tensor], int]:
    """The same for the update of a variable."""
    weights = [keras.Variable(tf.zeros((part.inputs,))) for _ in range(_VARIABLES)]
    optimizer = Adam()
    optimizer.build(weights)

    def step(*gradients):
        optimizer.apply(gradients, weights)
        return [optimizer.iterations.value + 0]

    return step, [tf.ones((part.inputs,))] * _VARIABLES, _VARIABLES


def _network_step(part: Part) -> tuple[Step, list[tf.Tensor], int]:
    """The step of a learner."""
    space, classes = find_space(part.name, len(part.voxels)), part.outputs
    learner = Learner(from_genotype(reference(space, part.count), part.shift, classes, part.inputs), classes)
    learner.compile(Adam(), JaccardLoss())
    shape = (part.batch, *part.voxels)
    labels = tf.random.stateless_uniform(shape, (2, 3), 0, classes, tf.int32)

    def step(images, labels):
        return list(learner.train_step((images, labels)).values())

    return step, [_random((*shape, part.shift), 1, 1), labels], 1


def _gradients(outputs: Sequence[tf.Tensor], sources: Sequence[tf.Tensor], upstream: Sequence[tf.Tensor] | None = None) -> list[tf.Tensor]:
    """As `training.learner` takes them."""
    return tf.gradients(outputs, sources, upstream, aggregation_method=tf.AggregationMethod.EXPERIMENTAL_TREE)


class Additions(keras.layers.Layer):
    """Sums of the first of some tensors with each of the others, one after the other."""

    def call(self, values):
        total = values[0]
        for value in values[1:]:
            total = total + value
        return total

    def compute_output_shape(self, input_shape):
        return input_shape[0]


def _layer(part: Part) -> keras.Layer:
    if part.kind == OPERATION:
        return build_operation(part.name, part.role, branches=part.count)
    if part.kind == ALIGN:
        return Align(part.outputs, part.shift, bridge=part.name)
    if part.kind == STEM:
        return Stem(part.outputs, 2**part.shift)
    return Additions() if part.kind == ADD else keras.layers.Concatenate()


def _call(layer: keras.Layer, inputs: Sequence[tf.Tensor]) -> list[tf.Tensor]:
    found = layer(list(inputs) if len(inputs) > 1 else inputs[0], training=True)
    return found if isinstance(found, list) else [found]


def _shape(inputs: Sequence[tf.Tensor]) -> list[tuple[int, ...]] | tuple[int, ...]:
    shapes = [tuple(value.shape) for value in inputs]
    return shapes if len(shapes) > 1 else shapes[0]


def _inputs(part: Part, number: int) -> list[tf.Tensor]:
    parts = {ADD: [part.inputs] * (1 + _ADDITIONS), CONCAT: [len(own) for own in np.array_split(range(part.inputs), part.count)]}
    widths = parts.get(part.kind, [part.inputs])
    return [_random((part.batch, *part.voxels, width), number, 2 + index) for index, width in enumerate(widths)]


def _random(shape: Sequence[int], *seed: int) -> tf.Tensor:
    return tf.random.stateless_normal(shape, seed, dtype=keras.config.dtype_policy().compute_dtype)
