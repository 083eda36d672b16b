"""Gray pictures among colour ones: three equal channels, as their colours would be."""

import dataclasses
from collections.abc import Sequence

import numpy as np

from scnas_keras.formats.endings import is_picture
from scnas_keras.formats.geometry import GRAY, Doubt
from scnas_keras.formats.stored import Stored

COLOURS = "red", "green", "blue"
_NAMES = COLOURS, ("r", "g", "b"), ("rgb_to_0_1",) * 3


def are_colours(channels: Sequence[str]) -> bool:
    """Whether names of channels are those of a picture's colours."""
    return tuple(name.strip().casefold() for name in channels) in _NAMES


def in_colour(file: Stored) -> Stored:
    """A gray picture as one of three equal channels; any other file as it is."""
    if file.channels != 1 or file.indexed or not is_picture(file.path):
        return file
    doubt = Doubt(GRAY, f"gray alone; its {', '.join(COLOURS)} are equal")
    return dataclasses.replace(file, channels=3, voxels=lambda allocate: _three(file.voxels(allocate)), doubts=(*file.doubts, doubt))


def _three(voxels: np.ndarray) -> np.ndarray:
    return np.broadcast_to(voxels, (*voxels.shape[:3], 3))
