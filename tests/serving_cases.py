"""Scans, plans and networks for what is exported and packed."""

import keras
import numpy as np
import scipy

from scnas_keras.preprocessing.plan import Normalization, PreprocessingPlan, Resampling

LABELS, THREE = {0: "background", 1: "a"}, {0: "background", 1: "a", 2: "b"}


def scan(shape, channels, seed=0, high=200.0):
    """Smooth noise with an empty border of another width on each side, and a hole."""
    random = np.random.default_rng(seed)
    image = np.zeros((*shape, channels), np.float32)
    inner = tuple(size - 3 for size in shape)
    for channel in range(channels):
        image[1:-2, 1:-2, 1:-2, channel] = high / 2 + high / 12 * scipy.ndimage.gaussian_filter(random.normal(size=inner), 1) * 4
    image[tuple(slice(size // 2, size // 2 + 2) for size in shape)] = 0
    return image


NUMBERS = {"ct": (20.0, 150.0, 90.0, 35.0), "fixed": (None, None, 0.3667, 0.3533)}


def plan(spacing=(1.0, 1.0, 1.0), schemes=("zscore",), masked=False, transpose=(0, 1, 2), slice_size=None, **orders):
    channels = tuple(
        Normalization(f"c{index}", scheme, masked and "zscore" in scheme, *NUMBERS.get(scheme, ())) for index, scheme in enumerate(schemes)
    )
    return PreprocessingPlan(spacing, channels, LABELS, transpose, Resampling(**orders), slice_size=slice_size)


PLANS = {
    "same spacing": (plan(), (1.0, 1.0, 1.0)),
    "finer and coarser": (plan((0.8, 1.3, 1.0), ("zscore", "ct")), (1.1, 1.0, 0.7)),
    "masked": (plan((0.8, 1.3, 1.0), ("zscore", "zscore"), masked=True), (1.0, 1.0, 1.0)),
    "late": (plan((1.2, 0.9, 1.0), ("zscore_resampled",), masked=True), (1.0, 1.0, 1.0)),
    "late without mask": (plan((1.2, 0.9, 1.0), ("zscore_resampled",)), (1.0, 1.0, 1.0)),
    "turned": (plan((0.8, 1.3, 1.0), transpose=(2, 0, 1)), (1.0, 0.9, 1.2)),
    "slices": (plan((None, 0.8, 0.8), transpose=(2, 1, 0)), (1.0, 0.9, 4.0)),
    "coarse": (plan((4.0, 0.8, 0.8), ("ct",), transpose=(2, 0, 1)), (1.0, 1.0, 3.5)),
    "coarse, smooth along it": (plan((4.0, 0.8, 0.8), coarse_axis_order=1, transpose=(2, 0, 1)), (1.0, 1.0, 3.5)),
    "smooth back": (plan((0.8, 1.3, 1.0), probabilities_order=3), (1.0, 1.0, 1.0)),
    "orders": (plan((0.8, 1.3, 1.0), image_order=1), (1.0, 1.0, 1.0)),
    "slices of a size": (plan((None, 0.8, 0.8), ("fixed",), transpose=(2, 1, 0), slice_size=(17, 30)), (1.0, 0.9, 4.0)),
    "slices of a size, masked": (plan((None, 1.0, 1.0), masked=True, transpose=(2, 0, 1), slice_size=(12, 9)), (1.0, 1.0, 1.0)),
    "fixed": (plan((0.8, 1.3, 1.0), ("fixed", "zscore")), (1.0, 0.9, 1.0)),
    "others": (plan((0.8, 1.3, 1.0), ("rescale_to_0_1", "rgb_to_0_1", "none")), (1.0, 1.0, 1.0)),
}


def pointwise(channels, classes=2, rank=3):
    """A network whose classes follow the intensities."""
    network = keras.Sequential([keras.Input((*[None] * rank, channels)), keras.layers.Dense(classes)])
    random = np.random.default_rng(1)
    network.set_weights([random.normal(size=(channels, classes)).astype(np.float32), 0.1 * random.normal(size=classes).astype(np.float32)])
    return network
