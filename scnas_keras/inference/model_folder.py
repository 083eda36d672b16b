"""A model file and, beside it, what must be known to use it: the preprocessing plan and the patch."""

import dataclasses
import functools
import json
import os
import pathlib
import tempfile
from collections.abc import Callable

import keras
import numpy as np
import tensorflow as tf

from scnas_keras.checks.ranges import intensity_ranges
from scnas_keras.errors import DataError, counted
from scnas_keras.files import write_text
from scnas_keras.formats.volumes import Volume
from scnas_keras.inference.companion import Companion, find_model
from scnas_keras.inference.keras_file import load_network, save_network
from scnas_keras.inference.names import COMPANION, MODEL
from scnas_keras.inference.seen import Seen, differences
from scnas_keras.inference.segmenting import segment_by
from scnas_keras.inference.sliding_window import ProbabilityRows
from scnas_keras.kernels.devices import on_cpu
from scnas_keras.kernels.fast_forms import use_fast_forms
from scnas_keras.machine.scratch import Scratch
from scnas_keras.networks.divisors import divisors
from scnas_keras.preprocessing.plan import PreprocessingPlan

_TILES_AT_A_TIME = 4
"""On a GPU, which a tile alone doesn't keep busy."""
_FEW_CLASSES = 16
POOR = 0.1
"""A Dice under which a class counts as not found."""


@dataclasses.dataclass(frozen=True)
class SegmentationModel:
    """A network and the way from a scan to its input and back. On CPUs its layers take `kernels.fast_forms`.

    Attributes:
        network: [batch, *patch, channels] to logits [batch, *patch, classes].
        plan: how scans are preprocessed.
        patch_size: voxels of a tile along the plan's axes; two are those of a slice along the first.
        mirror_axes: the patch's axes along which the network was shown flipped patches, and tiles may be flipped.
        seen: what the scans were like that it was trained on; models of older versions don't know.
        dice: of each foreground class over the whole scans that judged the training run, None for a class in none of them; empty if there
            were no such scans, None if that didn't come to its end or the model is of an older version.
    """

    network: keras.Model
    plan: PreprocessingPlan
    patch_size: tuple[int, ...]
    mirror_axes: tuple[int, ...] = ()
    seen: Seen | None = None
    dice: dict[str, float | None] | None = None

    def __post_init__(self):
        if on_cpu():  # elsewhere Keras compiles predictions, which fuses by itself
            use_fast_forms(self.network)

    def segment(self, volume: Volume, mirror: bool = False, scratch: Scratch | None = None) -> np.ndarray:
        """The segmentation of a scan on its own canonical voxel grid, uint8 [x, y, z], ready for `write_label`.

        Args:
            volume: from `read_image`.
            mirror: whether to average over the flips along `mirror_axes`; 2 ^ axes times the work.
            scratch: where the prepared scan and its probabilities are held meanwhile; by default memory holds the former, and the system's
                folder for temporary files the latter.

        Raises:
            DataError: see `preprocess_image` and `check_grid`.
            OutputError: there isn't enough scratch room.
        """
        return segment_by((self,), volume, mirror, scratch)

    def unfamiliar(self, volume: Volume) -> list[str]:
        """In what a scan differs from those that the network was trained on, with figures; nothing if that isn't known."""
        names = [channel.channel for channel in self.plan.channels]
        if self.seen is None or volume.array.shape[3] != len(names):
            return []
        return differences(self.seen, volume, intensity_ranges(volume.array), names)

    def poor_dice(self) -> str | None:
        """The Dice of the classes, where none of them was found in the scans that judged the training run, or next to nothing."""
        known = {name: dice for name, dice in (self.dice or {}).items() if dice is not None}
        if not known or max(known.values()) >= POOR:
            return None
        return ", ".join(f"{name} {dice:.3f}" for name, dice in known.items())

    def probability_rows(
        self,
        image: np.ndarray,
        mirror: bool = False,
        scratch: Scratch | None = None,
        progress: Callable[[int, int], None] | None = None,
    ) -> ProbabilityRows:
        """Class probabilities of a preprocessed scan [a, b, c, channels], row by row: [classes, b, c]."""
        predict, patch, axes = self.rows_of, self.patch_size, self.mirror_axes if mirror else ()
        if len(patch) == 2:  # slices along the plan's first axis
            patch, axes = (1, *patch), tuple(axis + 1 for axis in axes)
            predict = _slice_by_slice(predict)
        batch = 1 if on_cpu() else _TILES_AT_A_TIME
        own = scratch or Scratch(tempfile.gettempdir())
        return ProbabilityRows(predict, image, patch, len(self.plan.labels), own, axes, batch, progress)

    def rows_of(self, tiles: np.ndarray) -> np.ndarray:
        """Class probabilities of tiles, [batch, x, classes, y, z]; of slices [batch, classes, y, z]."""
        return np.asarray(self._by_rows(tiles))  # on CPUs the tensor's own memory, which `predict_on_batch` would copy

    @functools.cached_property
    def _by_rows(self) -> Callable[[np.ndarray], tf.Tensor]:
        """The network with its softmax, classes before the last two axes: what is added up row by row lies together."""
        (image,), (logits,) = self.network.inputs, self.network.outputs
        permute = keras.layers.Permute((1, 4, 2, 3) if len(self.patch_size) == 3 else (3, 1, 2))
        if len(self.plan.labels) > _FEW_CLASSES:
            rows = permute(keras.layers.Activation("softmax")(logits))
        else:  # TensorFlow's is slow along a short axis
            rows = permute(logits)
            powers = keras.ops.exp(rows - keras.ops.max(rows, axis=-3, keepdims=True))
            rows = powers / keras.ops.sum(powers, axis=-3, keepdims=True)
        model = keras.Model(image, rows)
        return tf.function(functools.partial(model, training=False), autograph=False, jit_compile=not on_cpu())

    def save(self, folder: str | os.PathLike) -> None:
        """Writes model.keras and model.json."""
        save_network(self.network, pathlib.Path(folder) / MODEL)
        self.save_companion(folder)

    def save_companion(self, folder: str | os.PathLike) -> None:
        """Writes model.json alone."""
        companion = Companion(self.patch_size, self.mirror_axes, self.plan, self.seen, self.dice)
        write_text(pathlib.Path(folder) / COMPANION, json.dumps(dataclasses.asdict(companion), indent=1) + "\n")

    @classmethod
    def load(cls, path: str | os.PathLike) -> "SegmentationModel":
        """Reads a model file, or the one in a run's folder, with its companion.

        Raises:
            DataError: one of the files is missing or damaged, or they don't belong together.
        """
        path, found = find_model(path)
        network = load_network(path)
        check_together(path, network, path.with_name(COMPANION), found)
        return cls(network, found.plan, found.patch_size, found.mirror_axes, found.seen, found.dice)


def check_together(path: pathlib.Path, network: keras.Model, companion: pathlib.Path, found: Companion) -> None:
    """Raises DataError unless a network maps patches to logits as its companion says."""
    patch, channels, classes = list(found.patch_size), len(found.plan.channels), len(found.plan.labels)
    _, *space, own_channels = network.inputs[0].shape
    fault = None
    if len(space) != len(patch) or any(size not in (None, wanted) for size, wanted in zip(space, patch)):
        fault = f"takes patches of {' x '.join('any' if size is None else str(size) for size in space)}, and patch_size is {patch}"
    elif own_channels != channels:
        fault = f"takes {counted(own_channels, 'channel')}, and the plan has {channels}"
    elif len(network.outputs) != 1 or network.outputs[0].shape[-1] != classes:
        fault = f"gives logits of {' and '.join(str(tensor.shape[-1]) for tensor in network.outputs)} classes, and the plan has {classes}"
    elif any(size % divisor for size, divisor in zip(patch, divisors(network))):
        fault = f"takes patches of multiples of {list(divisors(network))}, and patch_size is {patch}"
    elif (size := list(network.compute_output_shape((1, *patch, channels))[1:-1])) != patch:
        fault = f"makes logits of {size} voxels from patches of {patch}"
    if fault:
        raise DataError(f"{path}: {fault}: {companion} is of another network. Copy both again from where the model was trained.")


def _slice_by_slice(predict: Callable[[np.ndarray], np.ndarray]) -> Callable[[np.ndarray], np.ndarray]:
    """A network of slices [n, b, c, channels] as one of volumes one voxel thick, [n, 1, b, c, channels]."""
    return lambda tile: predict(tile[:, 0])[:, None]
