"""Random changes of a patch's intensities. All of them take and return float32 [*, channels] and may work in place.

Patches lie in memory one channel after the other (`image[..., channel]` is contiguous), which these functions keep.
Source: nnU-Net v2, see `presets.py`; but for `Cutout`.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import scipy

from scnas_keras.documents.ranges import Share
from scnas_keras.patches.transforms import Factors, Length, Range, Transform, Zooms, halved_uniform, happens

EPSILON = 1e-7


class IntensityTransform(Transform, frozen=True):
    """A transform of intensities: `draw` decides, `change` computes."""

    def apply(self, image: np.ndarray, random: np.random.Generator) -> np.ndarray:
        """The image, changed in a share `probability` of the calls."""
        if not happens(random, self.probability):
            return image
        return self.change(image, self.draw(random, image.shape[-1]), random)

    def draw(self, random: np.random.Generator, channels: int) -> Any:
        """The parameters of one patch, for each channel its own unless said otherwise."""
        raise NotImplementedError

    def change(self, image: np.ndarray, drawn: Any, random: np.random.Generator) -> np.ndarray:
        """The image after a change with these parameters."""
        raise NotImplementedError


class GaussianNoise(IntensityTransform, frozen=True, tag="gaussian_noise"):
    """Adds independent normal noise to each voxel; its standard deviation is drawn once for all channels."""

    std: Range

    def draw(self, random: np.random.Generator, channels: int) -> float:
        return random.uniform(*self.std)

    def change(self, image: np.ndarray, drawn: float, random: np.random.Generator) -> np.ndarray:
        noise = random.standard_normal((image.shape[-1], *image.shape[:-1]), np.float32)
        noise *= np.float32(drawn)
        image += np.moveaxis(noise, 0, -1)
        return image


class GaussianBlur(IntensityTransform, frozen=True, tag="gaussian_blur"):
    """Blurs some of the channels with a Gaussian whose sigma in voxels is drawn for each channel and axis."""

    sigma: Range
    channel_probability: Share

    def draw(self, random: np.random.Generator, channels: int) -> tuple[np.ndarray, np.ndarray]:
        """Which channels, bool [channels], and their sigmas [channels, 3]."""
        return random.random(channels) < self.channel_probability, random.uniform(*self.sigma, (channels, 3))

    def change(self, image: np.ndarray, drawn: Any, random: np.random.Generator) -> np.ndarray:
        for channel in np.flatnonzero(drawn[0]):
            image[..., channel] = scipy.ndimage.gaussian_filter(image[..., channel], drawn[1][channel])
        return image


class _Factor(IntensityTransform, frozen=True):
    """A transform with one factor a channel, half the draws below 1 and half above."""

    factor: Factors

    def draw(self, random: np.random.Generator, channels: int) -> np.ndarray:
        return halved_uniform(random, self.factor, channels)


class Brightness(_Factor, frozen=True, tag="brightness"):
    """Multiplies each channel by its factor."""

    def change(self, image: np.ndarray, drawn: np.ndarray, random: np.random.Generator) -> np.ndarray:
        image *= drawn.astype(np.float32)
        return image


class Contrast(_Factor, frozen=True, tag="contrast"):
    """Stretches each channel around its mean by its factor; the channel's range is kept by clipping."""

    def change(self, image: np.ndarray, drawn: np.ndarray, random: np.random.Generator) -> np.ndarray:
        for channel, factor in enumerate(drawn.astype(np.float32)):
            values = image[..., channel]
            low, high, mean = values.min(), values.max(), values.mean()
            values *= factor
            values += mean * (1 - factor)
            np.clip(values, low, high, out=values)
        return image


class LowResolution(IntensityTransform, frozen=True, tag="low_resolution"):
    """Shows some of the channels as if scanned coarser: nearest voxels on a grid `zoom` times as dense, then linear.

    Attributes:
        in_plane: axis 0 keeps its slices.
    """

    zoom: Zooms
    channel_probability: Share
    in_plane: bool = False

    def draw(self, random: np.random.Generator, channels: int) -> tuple[np.ndarray, np.ndarray]:
        """Which channels, bool [channels], and their zooms [channels]."""
        return random.random(channels) < self.channel_probability, random.uniform(*self.zoom, channels)

    def change(self, image: np.ndarray, drawn: Any, random: np.random.Generator) -> np.ndarray:
        for channel in np.flatnonzero(drawn[0]):
            sizes = [max(round(size * drawn[1][channel]), 1) for size in image.shape[:-1]]
            if self.in_plane:
                sizes[0] = image.shape[0]
            image[..., channel] = _coarse_and_back(image[..., channel], sizes)
        return image


class Gamma(_Factor, frozen=True, tag="gamma"):
    """Raises each channel, mapped to 0..1, to the power of its factor; mean and standard deviation are kept.

    Attributes:
        inverted: whether the negative image is treated so.
    """

    inverted: bool = False

    def change(self, image: np.ndarray, drawn: np.ndarray, random: np.random.Generator) -> np.ndarray:
        for channel, gamma in enumerate(drawn.astype(np.float32)):
            values = image[..., channel]
            low, high, mean, std = values.min(), values.max(), values.mean(), values.std()
            span = max(high - low, np.float32(EPSILON))
            curve = (high - values if self.inverted else values - low) / span
            np.power(curve, gamma, out=curve)
            curve -= curve.mean()
            curve *= (-std if self.inverted else std) / max(curve.std(), np.float32(EPSILON))
            np.add(curve, mean, out=values)
        return image


class Cutout(IntensityTransform, frozen=True, tag="cutout"):
    """Sets a cube, in slices a square, of `length` voxels a side to 0 in all channels.

    What 0 is follows from the normalisation: the mean intensity (of the scan by z-score, of the dataset's labelled voxels by "ct"), the
    lowest ("rescale_to_0_1"), black ("rgb_to_0_1"), what is stored as 0 ("none"), or 0.3667 of the scan's range, `mean` ("fixed").

    Its centre is drawn uniformly from the patch, so that a part of it may lie beyond the border.

    Reference:
        DeVries and Taylor, Improved Regularization of Convolutional Neural Networks with Cutout, arXiv 1708.04552.
    """

    length: Length

    def draw(self, random: np.random.Generator, channels: int) -> np.ndarray:
        """The centre, as a share of the patch along each axis."""
        return random.random(3)

    def change(self, image: np.ndarray, drawn: np.ndarray, random: np.random.Generator) -> np.ndarray:
        first = [int(share * size) - self.length // 2 for share, size in zip(drawn, image.shape[:-1], strict=True)]
        image[tuple(slice(max(low, 0), low + self.length) for low in first)] = 0
        return image


def _coarse_and_back(values: np.ndarray, coarse_shape: Sequence[int]) -> np.ndarray:
    """Nearest sampling to a grid of this shape over the same field of view, then linear interpolation back."""
    shape = values.shape
    for axis, (size, coarse) in enumerate(zip(shape, coarse_shape)):
        values = values.take(((np.arange(coarse) + 0.5) * (size / coarse)).astype(int), axis)
    for axis, (size, coarse) in enumerate(zip(shape, coarse_shape)):
        places = np.clip((np.arange(size) + 0.5) * (coarse / size) - 0.5, 0, coarse - 1).astype(np.float32)
        low = places.astype(int)
        share = (places - low).reshape([-1 if other == axis else 1 for other in range(len(shape))])
        below = values.take(low, axis)
        values = values.take(np.minimum(low + 1, coarse - 1), axis)
        values -= below
        values *= share
        values += below
    return values
