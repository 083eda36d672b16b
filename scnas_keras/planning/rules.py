"""What nnU-Net's planner reads off a fingerprint before it looks at any network: spacing, axes, sizes, normalisation."""

import numpy as np

from scnas_keras.planning.plans import Scheme
from scnas_keras.preprocessing.fingerprint import Fingerprint

ANISOTROPY = 3.0  # an axis this many times coarser (and shorter) than the others is treated on its own
COARSE_PERCENTILE = 10
START_VOXELS = {2: 2048**2, 3: 256**3}
MASK_BELOW = 0.75  # relative size after cropping under which intensities are normalised over the nonzero voxels
_SCHEME_OF_CHANNEL: dict[str, Scheme] = {
    "ct": "CTNormalization",
    "nonorm": "NoNormalization",
    "zscore": "ZScoreNormalization",
    "rescale_to_0_1": "RescaleTo01Normalization",
    "rgb_to_0_1": "RGBTo01Normalization",
}


def target_spacing(fingerprint: Fingerprint) -> np.ndarray:
    """The spacing [3] that scans are resampled to, mm along the fingerprint's axes.

    The median; but an axis that is over three times coarser than the others, and three times shorter in voxels, takes its 10th
    percentile, so that most scans need no invented slices, though nothing finer than the other axes.
    """
    spacings = np.array(fingerprint.spacings)
    target, size = np.median(spacings, axis=0), np.median(fingerprint.shapes, axis=0)
    coarse = int(np.argmax(target))
    others = [axis for axis in range(3) if axis != coarse]
    finest_allowed = max(target[others])
    if target[coarse] > ANISOTROPY * finest_allowed and size[coarse] * ANISOTROPY < min(size[others]):
        target[coarse] = np.percentile(spacings[:, coarse], COARSE_PERCENTILE)
        if target[coarse] < finest_allowed:
            target[coarse] = finest_allowed + 1e-5
    return target


def transpose_forward(target: np.ndarray) -> tuple[int, int, int]:
    """The order of axes in the plan: the coarsest first, the others as they were."""
    coarse = int(np.argmax(target))
    second, third = (axis for axis in range(3) if axis != coarse)
    return coarse, second, third


def median_size(fingerprint: Fingerprint, target: np.ndarray) -> np.ndarray:
    """Median size [3] of the cropped scans at the target spacing, voxels along the fingerprint's axes."""
    sizes = [
        [max(1, round(old / new * size)) for size, old, new in zip(shape, spacing, target)]
        for shape, spacing in zip(fingerprint.shapes, fingerprint.spacings)
    ]
    return np.median(sizes, axis=0)


def normalization_schemes(fingerprint: Fingerprint) -> tuple[tuple[Scheme, ...], tuple[bool, ...]]:
    """Per channel, by its name: the scheme, and whether it looks at nonzero voxels only."""
    names = (name.strip().casefold() for name in fingerprint.channel_names)
    schemes: tuple[Scheme, ...] = tuple(_SCHEME_OF_CHANNEL.get(name, "ZScoreNormalization") for name in names)
    mostly_cropped = fingerprint.relative_size < MASK_BELOW
    return schemes, tuple(mostly_cropped and scheme == "ZScoreNormalization" for scheme in schemes)


def start_patch(spacing: np.ndarray, median: np.ndarray) -> tuple[float, ...]:
    """A patch as cubic in mm as can be, of some 256^3 voxels (2048^2 in 2D), nowhere larger than the median scan.

    Medians may lie between two whole numbers; a topology rounds up.
    """
    inverse = 1 / np.array(spacing)
    rank = len(inverse)
    edges = [max(1, round(edge)) for edge in inverse * (START_VOXELS[rank] / np.prod(inverse)) ** (1 / rank)]
    return tuple(map(float, np.minimum(edges, median[:rank])))
