"""A trained network in a Python program: arrays or files in, segmentations out."""

import os
import pathlib
from collections.abc import Mapping, Sequence

import numpy as np

from scnas_keras.errors import DataError, counted
from scnas_keras.formats.volumes import read_image, volume_of, write_label
from scnas_keras.inference.companion import find_models
from scnas_keras.inference.ensemble import Ensemble
from scnas_keras.inference.packaged import remove_unpacked
from scnas_keras.tasks.layout_chaos import are_slices


class Predictor:
    """Segments scans with one network, or with several whose probabilities are averaged.

    Args:
        model: the networks.
        mirror: whether to average over the flips that they were trained with.
    """

    def __init__(self, model: Ensemble, mirror: bool = False):
        self._model, self._mirror = model, mirror

    @classmethod
    def from_run(cls, path: str | os.PathLike, mirror: bool = False) -> "Predictor":
        """Reads what `scnas predict --model` takes: a run's folder, a package (.zip), a .keras file with model.json beside it, several
        of these with commas between them, or a network's folder of a cross-validation.

        Raises:
            DataError: a file is missing or damaged, or the networks are of different tasks.
            ConfigError: one wants scans denoised, and SimpleITK isn't installed.
        """
        model = Ensemble.load([file for file, _ in find_models(os.fspath(path))])
        remove_unpacked()
        return cls(model, mirror)

    @property
    def labels(self) -> Mapping[int, str]:
        """Value -> class; 0 is the background."""
        return self._model.plan.labels

    @property
    def channels(self) -> tuple[str, ...]:
        """What the network takes, in order."""
        return tuple(channel.channel for channel in self._model.plan.channels)

    def predict(self, array: np.ndarray, spacing: Sequence[float]) -> np.ndarray:
        """Segments an array.

        Args:
            array: [x, y, z, channels], or [x, y, z] of one channel; intensities as stored, axes to the right, to the front, upwards.
            spacing: of its voxels along x, y and z, mm.

        Returns:
            uint8 [x, y, z].

        Raises:
            DataError: other axes, channels or spacings than can be, NaN, or only zeros.
        """
        array = np.asarray(array)
        if array.dtype.kind not in "biuf":
            raise DataError(f"array: its numbers are of type {array.dtype}; expected whole or real ones.")
        array = array[..., None] if array.ndim == 3 else array
        if array.ndim != 4 or array.shape[3] != len(self.channels):
            raise DataError(
                f"array: its shape is {list(array.shape)}; expected [x, y, z, channels] with {counted(len(self.channels), 'channel')} "
                f"({', '.join(self.channels)})."
            )
        try:
            steps = np.asarray(spacing, float)
        except (TypeError, ValueError):
            steps = np.zeros(0)
        if steps.shape != (3,) or not (np.isfinite(steps) & (steps > 0)).all():
            raise DataError(f"spacing: found {spacing}, expected three sizes in mm above 0, along x, y and z.")
        return self._model.segment(volume_of(array, steps), self._mirror)

    def predict_file(self, image: str | os.PathLike | Sequence[str | os.PathLike], output: str | os.PathLike | None = None) -> np.ndarray:
        """Segments a scan in a file, a folder of DICOM slices, or files of one channel each, in order.

        Args:
            image: its place, or places.
            output: where to write the segmentation on the scan's own grid; its ending decides the format. None: nowhere.

        Returns:
            uint8 [x, y, z] with axes to the right, to the front, upwards.

        Raises:
            DataError: it can't be read, or see `predict`.
            ConfigError: of the output's name.
        """
        places = [pathlib.Path(place) for place in ([image] if isinstance(image, (str, os.PathLike)) else image)]
        volume = read_image(places, channels=self.channels, own_series=all(map(are_slices, places)))
        segmentation = self._model.segment(volume, self._mirror)
        if output is not None:
            write_label(output, segmentation, volume.geometry)
        return segmentation
