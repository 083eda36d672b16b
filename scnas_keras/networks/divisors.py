"""What a network's input must be divisible by."""

import keras

_SIZE = 2**12


def divisors(model: keras.Model) -> tuple[int, ...]:
    """For each spatial axis, by how much the coarsest feature map of a functional model is coarser than its input."""
    image = model.inputs[0]
    rank = len(image.shape) - 2
    tensors = [tensor for layer in model.layers for tensor in (layer.output if isinstance(layer.output, list) else [layer.output])]
    spatial = [tensor for tensor in tensors if len(tensor.shape) == rank + 2]
    shapes = keras.Model(image, spatial).compute_output_shape((1, *[_SIZE] * rank, image.shape[-1]))
    maps = [shape[1:-1] for shape in shapes if max(shape[1:-1]) > 1]  # means over all voxels have no resolution
    return tuple(_SIZE // min(size[axis] for size in maps) for axis in range(rank))
