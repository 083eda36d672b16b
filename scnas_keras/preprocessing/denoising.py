"""Noise taken out of slices by curvature flow, which leaves edges: ITK's CurvatureFlowImageFilter, through SimpleITK."""

import numpy as np

from scnas_keras.formats.itk import simpleitk
from scnas_keras.formats.volumes import Allocate, in_memory
from scnas_keras.preprocessing.plan import Denoising


def denoised(values: np.ndarray, how: Denoising, allocate: Allocate = in_memory) -> np.ndarray:
    """One channel [a, b, c] slice by slice along its first axis; lengths are in voxels, so that no spacing makes the flow unstable. A slice
    keeps its range.

    Raises:
        ConfigError: SimpleITK isn't installed.
    """
    sitk, result = simpleitk("denoising needs"), allocate(values.shape)
    for index, section in enumerate(values):
        image = sitk.GetImageFromArray(np.ascontiguousarray(section, np.float32))
        flowed = sitk.GetArrayFromImage(sitk.CurvatureFlow(image, how.time_step, how.iterations))
        result[index] = np.clip(flowed, section.min(), section.max())  # its steps overshoot, and colours have a range
    return result
