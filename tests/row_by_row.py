"""Probabilities [a, b, c, classes] as the rows [classes, b, c] that the package works on, and back."""

import numpy as np

from scnas_keras.preprocessing.resampling import resize_rows, strongest
from scnas_keras.preprocessing.scans import restore_rows


def by_row(probabilities):
    return np.moveaxis(probabilities, -1, 1)


def resize_argmax(probabilities, shape, orders):
    """Resizes, then takes the most probable class."""
    result = np.empty(shape, np.uint8)
    for place, maps in resize_rows(by_row(probabilities), probabilities.shape[:3], shape, orders):
        result[place] = strongest(maps)
    return result


def restore_probabilities(probabilities, crop, plan):
    """The segmentation of the whole scan, uint8 [x, y, z]; 0 outside of the crop."""
    result = np.zeros(crop.shape, np.uint8)
    inside = result[crop.slices].transpose(plan.transpose)
    for place, maps in restore_rows(by_row(probabilities), crop, plan):
        inside[place] = strongest(maps)
    return result
