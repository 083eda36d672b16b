"""What a network costs: parameters, and multiply-adds of its convolutions for one patch."""

import dataclasses
import math
from collections.abc import Sequence

import keras

from scnas_keras.operations.base import Operation
from scnas_keras.operations.identity.layer import Identity
from scnas_keras.spaces.cost import Cost

_KERNELS = ("kernel", "depthwise", "pointwise", "depthwise_kernel", "pointwise_kernel")
_NOT_COUNTED = ("bias", "scale", "offset", "gamma", "beta")


@dataclasses.dataclass(frozen=True)
class NetworkCost(Cost):
    """Also: elements (numbers) of the feature maps of one patch, as the planner's footprints count them."""

    elements: int


def network_cost(model: keras.Model, patch_size: Sequence[int]) -> NetworkCost:
    """Cost of a functional model with one image input [batch, *space, channels].

    Counts the multiply-adds of convolutions and dense layers, one for each kernel weight and position at which it is
    applied; a separable convolution counts as its two parts, however it is computed. Additions, normalisation,
    pooling and biases are left out, as the SCNAS paper's figures do. Elements are those of the outputs of convolutions, and of
    a searched network's other operations but plain identities.

    Args:
        model: the network, spatial shape may be dynamic.
        patch_size: voxels of the patch along each axis.

    Raises:
        ValueError: a layer has weights of another name than kernels, biases and normalisations have.
    """
    image = keras.Input((*patch_size, model.input_shape[-1]), batch_size=1)
    fixed = keras.models.clone_model(model, input_tensors=image)
    parameters = sum(math.prod(weight.shape) for weight in model.trainable_weights)
    return NetworkCost(parameters, sum(map(_multiply_adds, fixed.layers)), sum(map(_elements, fixed.layers)))


def _multiply_adds(layer: keras.Layer) -> int:
    transposed = isinstance(layer, (keras.layers.Conv2DTranspose, keras.layers.Conv3DTranspose))
    positions = math.prod((_first(layer.input) if transposed else _convolved(layer)).shape[1:-1])
    once = layer.multiply_adds(positions) if isinstance(layer, Operation) else positions * _kernel_weights(layer)
    return _applications(layer) * once


def _elements(layer: keras.Layer) -> int:
    plain = isinstance(layer, Identity) and layer.stride == 1
    if not (_kernel_weights(layer) or isinstance(layer, Operation)) or plain:
        return 0
    outputs = layer.output if isinstance(layer.output, list) else [layer.output]
    return _applications(layer) * sum(math.prod(output.shape[1:]) for output in outputs)


def _applications(layer: keras.Layer) -> int:
    """How often it applies its kernel to an image, one output after the other."""
    return getattr(layer, "applications", 1)


def _kernel_weights(layer: keras.Layer) -> int:
    if isinstance(layer, Operation):
        return layer.kernel_weights()
    kernels = [own for name in _KERNELS if (own := getattr(layer, name, None)) is not None]
    uncounted = [weight for weight in layer.trainable_weights if weight.name not in (*_KERNELS, *_NOT_COUNTED)]
    if uncounted:
        raise ValueError(
            f"Layer {layer.name!r} ({type(layer).__name__}) has weights {', '.join(repr(weight.name) for weight in uncounted)}, whose "
            f"multiply-adds can't be told. Name its kernels as one of {', '.join(_KERNELS)}, or make it an `Operation`."
        )
    return sum(math.prod(kernel.shape) for kernel in kernels)


def _convolved(layer: keras.Layer):
    """A tensor of the resolution at which a layer's convolution has its output: an alignment is upsampled after it."""
    if getattr(layer, "shift", 0) > 0:
        return _first(layer.input)
    return _first(layer.output)


def _first(tensors):
    return tensors[0] if isinstance(tensors, list) else tensors
