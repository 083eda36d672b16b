"""Dilated separable convolution through TensorFlow's 2D depthwise kernels, on CPUs.

Forward and backward pass take a half (16 channels) to a quarter (128) of the time of a dense convolution with composed kernels.

With a dilation of r, voxels whose coordinates differ by multiples of r see each other only. So the image is laid out as its r * r phases in
plane, in which the convolution isn't dilated, with the outermost axis first: the slices that a tap along it reads are then one block of
memory. One convolution a tap of that axis, of all phases and slices as a batch, gives the whole.
"""

import itertools

import tensorflow as tf

from scnas_keras.kernels.devices import on_cpu
from scnas_keras.operations.base import subsample

_STEPS = [1, 1, 1, 1]
_SHARED = {"autograph": False, "experimental_attributes": {"_noinline": True}}
"""All layers of one shape call one graph function: a derived network has so many that their operations would take long to trace."""
_WIDE = (tf.float32, tf.float64)  # in others the kernels' gradients would be added up in them


def separable_conv(x: tf.Tensor, depthwise: tf.Tensor, pointwise: tf.Tensor, rate: int, stride: int) -> list[tf.Tensor] | None:
    """Depthwise and then pointwise convolutions of one image, at every voxel or at every second, beginning with the second.

    Args:
        x: [batch, *space, channels], two or three axes.
        depthwise: [size, ..., channels, branches], size odd; tensors or variables.
        pointwise: [channels, branches * channels].
        rate: voxels between taps.
        stride: 1 or 2.

    Returns:
        For each branch [batch, *space / stride, channels]; None where there is no faster form: on GPUs, for other types and unknown sizes.
    """
    if x.dtype not in _WIDE or not x.shape.is_fully_defined() or not on_cpu():
        return None
    depthwise, pointwise = tf.convert_to_tensor(depthwise), tf.convert_to_tensor(pointwise)  # not variables, whose gradients are others'
    if stride == 2 and rate % 2 == 0:  # all taps fall on the voxels that subsampling keeps
        x, rate, stride = subsample(x), rate // 2, 1
    results = []
    for y, kernel in zip(depthwise_conv(x, depthwise, rate), tf.split(pointwise, depthwise.shape[-1], axis=-1)):
        y = subsample(y) if stride == 2 else y
        flat = tf.matmul(tf.reshape(y, (-1, y.shape[-1])), kernel)
        results.append(tf.reshape(flat, (*y.shape[:-1], kernel.shape[-1])))
    return results


def depthwise_one(x: tf.Tensor, kernel: tf.Tensor, rate: int, stride: int) -> tf.Tensor | None:
    """A depthwise convolution with a kernel [size, ..., channels, 1], otherwise as `separable_conv`."""
    if x.dtype not in _WIDE or not x.shape.is_fully_defined() or not on_cpu():
        return None
    if stride == 2 and rate % 2 == 0:  # all taps fall on the voxels that subsampling keeps
        x, rate, stride = subsample(x), rate // 2, 1
    (y,) = depthwise_conv(x, tf.convert_to_tensor(kernel), rate)
    return subsample(y) if stride == 2 else y


def depthwise_conv(x: tf.Tensor, kernel: tf.Tensor, rate: int) -> list[tf.Tensor]:
    """Depthwise convolutions of one image, each like `x`, with zeros beyond the border.

    Args:
        x: [batch, *space, channels], two or three axes, of static shape.
        kernel: [size, ..., channels, branches], a kernel for each result.
        rate: voxels between taps.
    """

    @tf.custom_gradient
    def convolved(x, kernel):
        def gradient(*dy):
            return _backward(x, kernel, list(dy), rate)

        return _forward(x, kernel, rate), gradient

    results = convolved(x, kernel)
    return list(results) if isinstance(results, list | tuple) else [results]  # eagerly, a list of one comes back as that one


@tf.function(**_SHARED)
def _forward(x: tf.Tensor, kernel: tf.Tensor, rate: int) -> list[tf.Tensor]:
    layout = _Layout(x.shape, rate, kernel.shape[0])
    taps = layout.taps(x)
    return [layout.back(_sum(_conv(tap, plane) for tap, plane in zip(taps, own))) for own in _planes(kernel)]


@tf.function(**_SHARED)
def _backward(x: tf.Tensor, kernel: tf.Tensor, dy: list[tf.Tensor], rate: int) -> tuple[tf.Tensor, tf.Tensor]:
    """Of image and kernel. What a tap read, it gives its gradient to: that is the convolution with mirrored kernels."""
    layout = _Layout(x.shape, rate, kernel.shape[0])
    images = layout.taps(x)  # again: kept, they would double the memory
    gradients = [layout.taps(one) for one in dy]
    kernels = _planes(tf.reverse(kernel, list(range(kernel.shape.rank - 2))))
    dx = layout.back(_sum(_conv(tap, plane) for own, taps in zip(kernels, gradients) for tap, plane in zip(taps, own)))
    size = kernel.shape[0]
    dkernel = [tf.stack([_kernel_gradient(image, taps[len(taps) // 2], size) for image in images]) for taps in gradients]
    return dx, tf.reshape(tf.stack(dkernel, axis=-1), kernel.shape)


class _Layout:
    """The phases of an image of a static shape, as the taps of a kernel see them that is `size` wide."""

    def __init__(self, shape: tf.TensorShape, rate: int, size: int):
        self._batch, *self._space, self._channels = shape
        self._rate, self._size, self._deep = rate, size, len(self._space) == 3

    def taps(self, x: tf.Tensor) -> list[tf.Tensor]:
        """The images [phases, height, width, channels] that the taps along the outermost of three axes see."""
        *outer, height, width = self._space
        rate, reach = self._rate, self._rate * (self._size // 2)
        around = [[reach, reach]] * self._deep
        fill = [[0, 0], *around, *([0, -size % rate] for size in (height, width)), [0, 0]]
        x = tf.pad(x, fill) if any(itertools.chain(*fill)) else x
        down, across = (-(-size // rate) for size in (height, width))
        deep = [size + 2 * reach for size in outer]
        x = tf.reshape(x, (self._batch, *deep, down, rate, across, rate, self._channels))
        x = tf.transpose(x, (1, 3, 5, 0, 2, 4, 6) if self._deep else (2, 4, 0, 1, 3, 5))
        images = [x[tap * rate : tap * rate + outer[0]] for tap in range(self._size)] if self._deep else [x]  # without copies
        return [tf.reshape(image, (-1, down, across, self._channels)) for image in images]

    def back(self, y: tf.Tensor) -> tf.Tensor:
        """What has the layout of a tap, as [batch, *space, channels]."""
        *outer, height, width = self._space
        rate = self._rate
        y = tf.reshape(y, (*outer, rate, rate, self._batch, *y.shape[1:]))
        y = tf.transpose(y, (3, 0, 4, 1, 5, 2, 6) if self._deep else (2, 3, 0, 4, 1, 5))
        size = (y.shape[-5] * rate, y.shape[-3] * rate)
        y = tf.reshape(y, (self._batch, *outer, *size, self._channels))
        return y if size == (height, width) else y[..., :height, :width, :]


def _planes(kernel: tf.Tensor) -> list[list[tf.Tensor]]:
    """For each branch the kernels [size, size, channels, 1] of the taps along the outermost of three axes."""
    kernels = tf.unstack(kernel, axis=-1)
    return [[plane[..., None] for plane in (tf.unstack(own) if own.shape.rank == 4 else [own])] for own in kernels]


def _conv(image: tf.Tensor, kernel: tf.Tensor) -> tf.Tensor:
    return tf.raw_ops.DepthwiseConv2dNative(input=image, filter=kernel, strides=_STEPS, padding="SAME")


def _kernel_gradient(image: tf.Tensor, dy: tf.Tensor, size: int) -> tf.Tensor:
    """[size, size, channels]."""
    shape = [size, size, image.shape[-1], 1]
    found = tf.raw_ops.DepthwiseConv2dNativeBackpropFilter(input=image, filter_sizes=shape, out_backprop=dy, strides=_STEPS, padding="SAME")
    return tf.squeeze(found, -1)


def _sum(terms) -> tf.Tensor:
    """One after the other: the order of a sum of many follows the threads (`machine.determinism`)."""
    total = None
    for term in terms:
        total = term if total is None else total + term
    return total
