"""What a network costs: parameters, and multiply-adds of its convolutions for one patch."""

import math
from collections.abc import Sequence

import keras

from scnas_keras.spaces.cost import Cost


def network_cost(model: keras.Model, patch_size: Sequence[int]) -> Cost:
    """Cost of a functional model with one image input [batch, *space, channels].

    Counts the multiply-adds of convolutions and dense layers, one for each kernel weight and position at which it is
    applied; a separable convolution counts as its two parts, however it is computed. Additions, normalisation,
    pooling and biases are left out, as the SCNAS paper's figures do.

    Args:
        model: the network, spatial shape may be dynamic.
        patch_size: voxels of the patch along each axis.
    """
    image = keras.Input((*patch_size, model.input_shape[-1]), batch_size=1)
    fixed = keras.models.clone_model(model, input_tensors=image)
    parameters = sum(math.prod(weight.shape) for weight in model.trainable_weights)
    return Cost(parameters, sum(_layer_multiply_adds(layer) for layer in fixed.layers))


def _layer_multiply_adds(layer: keras.Layer) -> int:
    names = ("kernel", "depthwise", "pointwise", "depthwise_kernel", "pointwise_kernel")
    weights = sum(math.prod(getattr(layer, name).shape) for name in names if getattr(layer, name, None) is not None)
    if not weights:
        return 0
    transposed = isinstance(layer, (keras.layers.Conv2DTranspose, keras.layers.Conv3DTranspose))
    positions = math.prod((layer.input if transposed else layer.output).shape[1:-1])
    if getattr(layer, "shift", 0) > 0:  # aligned before it is upsampled
        positions = math.prod(layer.input.shape[1:-1])
    return positions * weights
