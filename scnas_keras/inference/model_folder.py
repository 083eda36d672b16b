"""A model file and, beside it, what must be known to use it: the preprocessing plan and the patch."""

import dataclasses
import json
import os
import pathlib
import sys
from collections.abc import Callable

import keras
import numpy as np
import tqdm

from scnas_keras.errors import DataError
from scnas_keras.files import write_text
from scnas_keras.formats.volumes import Volume
from scnas_keras.inference.sliding_window import predict_volume
from scnas_keras.preprocessing.plan import PreprocessingPlan
from scnas_keras.preprocessing.scans import preprocess_image, restore_probabilities

MODEL, COMPANION = "model.keras", "model.json"


@dataclasses.dataclass(frozen=True)
class SegmentationModel:
    """A network and the way from a scan to its input and back.

    Attributes:
        network: [batch, *patch, channels] to logits [batch, *patch, classes].
        plan: how scans are preprocessed.
        patch_size: voxels of a tile along the plan's axes; two are those of a slice along the first.
        mirror_axes: the patch's axes along which the network was shown flipped patches, and tiles may be flipped.
    """

    network: keras.Model
    plan: PreprocessingPlan
    patch_size: tuple[int, ...]
    mirror_axes: tuple[int, ...] = ()

    def segment(self, volume: Volume, mirror: bool = False) -> np.ndarray:
        """The segmentation of a scan on its own canonical voxel grid, uint8 [x, y, z], ready for `write_label`.

        Args:
            volume: from `read_image`.
            mirror: whether to average over the flips along `mirror_axes`; 2 ^ axes times the work.
        """
        image, crop, _ = preprocess_image(volume, self.plan)
        return restore_probabilities(self.probabilities(image, mirror), crop, self.plan)

    def probabilities(self, image: np.ndarray, mirror: bool = False) -> np.ndarray:
        """Class probabilities [a, b, c, classes] of a preprocessed scan [a, b, c, channels]."""
        with tqdm.tqdm(desc="tiles", leave=False, disable=None, file=sys.stderr) as bar:

            def progress(done: int, total: int) -> None:
                bar.total = total
                bar.update(done - bar.n)

            predict, patch, axes = self.network.predict_on_batch, self.patch_size, self.mirror_axes if mirror else ()
            if len(patch) == 2:  # slices along the plan's first axis
                patch, axes = (1, *patch), tuple(axis + 1 for axis in axes)
                predict = _slice_by_slice(predict)
            return predict_volume(predict, image, patch, len(self.plan.labels), axes, progress)

    def save(self, folder: str | os.PathLike) -> None:
        """Writes model.keras and model.json."""
        folder = pathlib.Path(folder)
        self.network.save(folder / MODEL)
        companion = {"patch_size": list(self.patch_size), "mirror_axes": list(self.mirror_axes), "plan": json.loads(self.plan.to_json())}
        write_text(folder / COMPANION, json.dumps(companion, indent=1) + "\n")

    @classmethod
    def load(cls, path: str | os.PathLike) -> "SegmentationModel":
        """Reads a model file, or the one in a run's folder, with its companion.

        Raises:
            DataError: one of the files is missing or damaged.
        """
        path = pathlib.Path(path).expanduser()
        path = path / MODEL if path.is_dir() else path
        companion = path.with_name(COMPANION)
        for file in (path, companion):
            if not file.is_file():
                raise DataError(f"{file}: no such file. Name a trained run's folder, or its {MODEL} with {COMPANION} beside it.")
        try:
            content = json.loads(companion.read_text(encoding="utf-8"))
            plan = PreprocessingPlan.from_json(json.dumps(content["plan"]))
            patch_size, mirror_axes = (tuple(map(int, content[key])) for key in ("patch_size", "mirror_axes"))
        except (ValueError, KeyError, TypeError) as error:
            raise DataError(f"{companion}: damaged ({error!r}). Copy it again from where the model was trained.") from error
        return cls(load_network(path), plan, patch_size, mirror_axes)


def _slice_by_slice(predict: Callable[[np.ndarray], np.ndarray]) -> Callable[[np.ndarray], np.ndarray]:
    """A network of slices [1, b, c, channels] as one of volumes [1, 1, b, c, channels]."""
    return lambda tile: predict(tile[:, 0])[:, None]


def load_network(path: str | os.PathLike) -> keras.Model:
    """Reads a .keras file without running any code in it.

    Raises:
        DataError: missing, or not a Keras model.
    """
    import scnas_keras.networks  # noqa: F401  registers the layers

    if not pathlib.Path(path).is_file():
        raise DataError(f"{path}: no such file.")
    try:
        return keras.models.load_model(path, compile=False, safe_mode=True)
    except (ValueError, OSError, KeyError) as error:
        raise DataError(f"{path}: can't be read as a Keras model ({str(error).splitlines()[0]}).") from error
