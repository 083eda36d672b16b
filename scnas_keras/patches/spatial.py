"""Rotation, scaling, elastic deformation, mirrors: what is drawn, and where a patch's voxels come from."""

import dataclasses
import functools
import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from scnas_keras.documents.ranges import Axis, check_different
from scnas_keras.patches.transforms import Degrees, Factors, Range, Transform, Voxels, halved_uniform, happens

KNOTS_BEYOND = 4  # sigmas around the patch from which noise still reaches it


@dataclasses.dataclass(frozen=True)
class SpatialDraw:
    """Parameters of one patch's resampling.

    Attributes:
        degrees: rotation about the plan axes 0, 1, 2, through the patch's middle.
        factor: size of the field of view over the patch's size: the content appears smaller above 1.
        alpha, sigma: amplitude and smoothness (voxels) of the elastic deformation.
        noise_seed: of the elastic deformation.
    """

    degrees: Degrees = (0.0, 0.0, 0.0)
    factor: float = 1.0
    alpha: float = 0.0
    sigma: float = 0.0
    noise_seed: int = 0


class SpatialTransform(Transform, frozen=True):
    """A part of the resampling: `draw` returns fields of `SpatialDraw`."""

    def draw(self, random: np.random.Generator) -> dict[str, Any]:
        """The parameters of one patch."""
        raise NotImplementedError


class Elastic(SpatialTransform, frozen=True, tag="elastic"):
    """Shifts voxels by smooth noise: white noise in [-1, 1], times alpha, after a Gaussian filter of sigma voxels."""

    alpha: Range
    sigma: Voxels

    def draw(self, random: np.random.Generator) -> dict[str, Any]:
        return {"alpha": random.uniform(*self.alpha), "sigma": random.uniform(*self.sigma), "noise_seed": int(random.integers(2**32))}


class Rotation(SpatialTransform, frozen=True, tag="rotation"):
    """Rotates about each plan axis by an angle within +- `degrees`, uniformly."""

    degrees: Degrees

    def draw(self, random: np.random.Generator) -> dict[str, Any]:
        return {"degrees": tuple(float(limit * random.uniform(-1, 1)) for limit in self.degrees)}


class Scaling(SpatialTransform, frozen=True, tag="scaling"):
    """Scales all axes by one factor, uniform or with `halved` half below 1 and half above."""

    factor: Factors
    halved: bool = False

    def draw(self, random: np.random.Generator) -> dict[str, Any]:
        factor = halved_uniform(random, self.factor, 1)[0] if self.halved else random.uniform(*self.factor)
        return {"factor": float(factor)}


class Mirror(Transform, frozen=True, tag="mirror"):
    """Flips each of these plan axes with the probability."""

    axes: tuple[Axis, ...]

    def __post_init__(self):
        check_different("axes", self.axes)

    def draw(self, random: np.random.Generator) -> tuple[int, ...]:
        """The axes to flip."""
        return tuple(axis for axis in self.axes if happens(random, self.probability))


def draw_spatial(transforms: Sequence[Transform], random: np.random.Generator) -> SpatialDraw | None:
    """Draws the parameters of all spatial transforms; None when none of them happens, so that nothing is resampled."""
    drawn = {}
    for transform in transforms:
        if isinstance(transform, SpatialTransform) and happens(random, transform.probability):
            drawn |= transform.draw(random)
    return SpatialDraw(**drawn) if drawn else None


@dataclasses.dataclass(frozen=True, eq=False)
class Warp:
    """Where the voxels of a patch come from: centre + matrix (voxel - middle of the patch + displacement).

    Attributes:
        shape: of the patch, along 3 axes or, when slices stay what they are, along plan axes 1 and 2.
        matrix: [axes, axes], from offsets in the patch to offsets in the case, both in voxels.
        displacement: elastic, voxels of the patch, float32 [axes, *shape]; or None.
    """

    shape: tuple[int, ...]
    matrix: np.ndarray
    displacement: np.ndarray | None = None

    @functools.cached_property
    def offsets(self) -> np.ndarray:
        """For each voxel of the patch its source's offset from the centre, in voxels: float32 [axes, *shape]."""
        rank = len(self.shape)
        grids = np.ix_(*(np.arange(size, dtype=np.float32) - np.float32((size - 1) / 2) for size in self.shape))
        moved = grids if self.displacement is None else [grid + shift for grid, shift in zip(grids, self.displacement)]
        result = np.empty((rank, *self.shape), np.float32)
        for row, target in zip(self.matrix.astype(np.float32), result):
            target[...] = sum(weight * grid for weight, grid in zip(row, moved))
        return result

    @property
    def reach(self) -> tuple[np.ndarray, np.ndarray]:
        """Lowest and highest offset along each axis, in voxels."""
        if self.displacement is None:
            corner = np.abs(self.matrix) @ ((np.array(self.shape) - 1) / 2)
            return -corner, corner
        flat = self.offsets.reshape(len(self.shape), -1)
        return flat.min(axis=1), flat.max(axis=1)


def make_warp(drawn: SpatialDraw, shape: Sequence[int], spacing: Sequence[float]) -> Warp:
    """The geometry of a draw.

    Args:
        drawn: angles, factor and deformation.
        shape: voxels of the patch along the axes that are resampled: all three, or plan axes 1 and 2.
        spacing: mm along these axes. A rotation turns millimetres, so that it is one also when voxels aren't cubes.
    """
    rank, spacing = len(shape), np.asarray(spacing, float)
    rotation = _rotation(drawn.degrees)[3 - rank :, 3 - rank :]
    matrix = drawn.factor * rotation * spacing / spacing[:, None]
    return Warp(tuple(shape), matrix, _displacement(shape, drawn) if drawn.alpha else None)


def _rotation(degrees: Degrees) -> np.ndarray:
    """Rotation about axis 0 after that about axis 1 after that about axis 2, right-handed: float64 [3, 3]."""
    result = np.eye(3)
    for axis, angle in enumerate(map(math.radians, degrees)):
        first, second = (axis + 1) % 3, (axis + 2) % 3
        turn = np.eye(3)
        turn[first, first] = turn[second, second] = math.cos(angle)
        turn[first, second], turn[second, first] = -math.sin(angle), math.sin(angle)
        result = result @ turn
    return result


def _displacement(shape: Sequence[int], drawn: SpatialDraw) -> np.ndarray:
    """Gaussian-filtered white noise with values in [-1, 1], times alpha: float32 [axes, *shape].

    The noise lies on a grid of one value per sigma rather than per voxel, which makes 64^3 voxels a matter of
    milliseconds. Scaled by sqrt(sigma) an axis, the field has the covariance of the filtered voxel noise up to 1e-4
    (Poisson summation); it is a bit nearer to a uniform distribution than to a normal one in its far tails.
    """
    rank = len(shape)
    random = np.random.default_rng(drawn.noise_seed)
    knots = [math.ceil((size - 1) / drawn.sigma) + 2 * KNOTS_BEYOND + 1 for size in shape]
    field = random.random((rank, *knots), np.float32) * 2 - 1
    for size, count in zip(shape, knots):
        distance = np.arange(size)[:, None] / drawn.sigma - (np.arange(count) - KNOTS_BEYOND)
        weights = np.exp(-0.5 * distance**2) / math.sqrt(2 * math.pi * drawn.sigma)
        # Not a matrix product: those may share their sums among threads, so that the last bit follows the machine.
        field = np.einsum("dk...,xk->d...x", field, weights.astype(np.float32))
    return np.float32(drawn.alpha) * field
