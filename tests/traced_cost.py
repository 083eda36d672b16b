"""What a network costs, counted in the graph that TensorFlow traces, from the static shapes of its operations."""

import dataclasses
import math
import re

import tensorflow as tf

from scnas_keras.networks.parts import Doubled


@dataclasses.dataclass
class TracedCost:
    """Trainable parameters that are read; multiply-adds of convolutions and matrix products; elements of outputs of convolutions, and of
    every second voxel where a network takes these."""

    parameters: int = 0
    multiply_adds: int = 0
    elements: int = 0


def traced_cost(model, patch):
    """The cost of one patch."""
    traced = tf.function(lambda x: model(x)).get_concrete_function(tf.TensorSpec((1, *patch, model.input_shape[-1])))
    functions = {function.name.decode(): function.graph for function in traced.graph._functions.values()}
    interpolated = {layer.name for layer in model.layers if isinstance(layer, Doubled)}  # by slices, which are no feature maps
    cost = TracedCost(parameters=sum(math.prod(variable.shape) for variable in traced.graph.trainable_variables))

    def count(graph):
        for operation in graph.get_operations():
            kind = operation.type
            assert kind in _MULTIPLY_ADDS or "Conv" not in kind and "MatMul" not in kind, kind
            if kind in _MULTIPLY_ADDS:
                cost.multiply_adds += _MULTIPLY_ADDS[kind](operation)
            scopes = {re.sub(r"_\d+$", "", scope) for scope in operation.name.split("/")}
            slices = kind in ("StridedSlice", "Slice") and not interpolated & scopes
            if kind in _MULTIPLY_ADDS or slices and len(operation.outputs[0].shape) >= 4:
                cost.elements += math.prod(operation.outputs[0].shape)
            if "Call" in kind:
                count(functions[operation.get_attr("f").name])

    count(traced.graph)
    return cost


def _convolution(operation):
    """Every kernel weight at every output voxel."""
    return math.prod(operation.outputs[0].shape[1:-1]) * math.prod(operation.inputs[1].shape)


def _transposed(operation):
    """Every kernel weight at every input voxel."""
    return math.prod(operation.inputs[2].shape[1:-1]) * math.prod(operation.inputs[1].shape)


def _product(operation):
    return math.prod(operation.outputs[0].shape) * operation.inputs[0].shape[-1]


_MULTIPLY_ADDS = {
    "Conv2D": _convolution,
    "Conv3D": _convolution,
    "Conv2DBackpropInput": _transposed,
    "Conv3DBackpropInputV2": _transposed,
    "MatMul": _product,
    "BatchMatMulV2": _product,
}
