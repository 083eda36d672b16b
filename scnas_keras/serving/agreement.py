"""Whether an exported network computes what it was exported from, found in a process that can't import this package."""

import dataclasses
import math
import os
import pathlib
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence

import keras
import numpy as np
import scipy

from scnas_keras.errors import OutputError
from scnas_keras.formats.volumes import PROBABILITY_ONE, volume_of
from scnas_keras.inference.companion import Companion
from scnas_keras.inference.model_folder import SegmentationModel
from scnas_keras.inference.segmenting import segment_by
from scnas_keras.networks.divisors import divisors
from scnas_keras.preprocessing.plan import Normalization, PreprocessingPlan
from scnas_keras.serving.names import FORMATS, Format

LARGEST_DIFFERENCE, LARGEST_OF_SCANS, FEWEST_EQUAL = 1e-3, 1e-2, 0.999
"""Of probabilities of patches, and of scans, whose preparing a network may amplify; share of the voxels of scans."""
_PATCH = 32
_STEPS = (1.0, 1.0, 1.0), (0.8, 1.25, 1.1)
"""Spacings of the two scans, in those of the plan."""


@dataclasses.dataclass(frozen=True)
class Agreement:
    """How far an exported network agrees with its model.

    Attributes:
        difference: the largest of probabilities, over two patches.
        equal: the share of voxels with the same class, over two scans; None if it takes no scans.
        scan_difference: the largest of probabilities over these.
    """

    difference: float
    equal: float | None = None
    scan_difference: float | None = None

    @property
    def holds(self) -> bool:
        """Whether that is the same function but for rounding."""
        if self.equal is None or self.scan_difference is None:
            return self.difference <= LARGEST_DIFFERENCE
        patches, scans = self.difference <= LARGEST_DIFFERENCE, self.scan_difference <= LARGEST_OF_SCANS
        return patches and scans and self.equal >= FEWEST_EQUAL


def check(network: keras.Model, companion: Companion | None, kind: str, folder: pathlib.Path) -> Agreement:
    """Compares both on two patches of noise and, where whole scans are taken, on two scans.

    Args:
        network, companion: what was exported. On CPUs the network's layers take their fast forms from here on.
        kind: of `names.FORMATS`.
        folder: what was written.

    Raises:
        OutputError: the other process failed, or they don't agree.
    """
    wanted = FORMATS[kind]
    patches = {f"serve/{index}": patch for index, patch in enumerate(_patches(network, companion, wanted.whole_scans))}
    scans = _scans(companion) if companion and wanted.whole_scans else []
    inputs = dict(patches)
    for index, (image, spacing) in enumerate(scans):
        for function in ("segment", "segment_probabilities"):
            inputs |= {f"{function}/{index}/image": image, f"{function}/{index}/spacing": spacing}
    found = _run_outside(wanted, folder, inputs)
    difference = max(_largest(found[name], _probabilities(network, patch)) for name, patch in patches.items())
    result = Agreement(difference, *(_of_scans(network, companion, scans, found) if companion and scans else ()))
    if not result.holds:
        raise OutputError(
            f"{wanted.title}: what was exported doesn't compute what the model does ({told(result)}). It was removed; please report this."
        )
    return result


def told(result: Agreement) -> str:
    """An agreement in words."""
    patches = f"largest difference of probabilities {result.difference:.1e}"
    if result.equal is None:
        return patches
    return f"{patches}, over two scans {result.scan_difference:.1e}; {result.equal:.3%} of their voxels have the same class"


def _of_scans(network: keras.Model, companion: Companion, scans: Sequence[tuple], found: Mapping[str, np.ndarray]) -> tuple[float, float]:
    """Share of voxels with the same class, and the largest difference of probabilities."""
    model, same, largest = SegmentationModel(network, companion.plan, companion.patch_size), [], 0.0
    for index, (image, spacing) in enumerate(scans):
        keep = np.empty((len(companion.plan.labels), *image.shape[:3]), np.uint16)
        own = segment_by((model,), volume_of(image, spacing), keep=keep)
        labels = found[f"segment/{index}"]
        same.append((labels == own).ravel() if labels.shape == own.shape else np.zeros(own.size, bool))
        largest = max(largest, _largest(found[f"segment_probabilities/{index}"], np.moveaxis(keep, 0, -1) / PROBABILITY_ONE))
    return float(np.mean(np.concatenate(same))), largest


def _largest(found: np.ndarray, expected: np.ndarray) -> float:
    """Difference; not a number where one of both isn't."""
    return float(np.abs(found - expected).max()) if found.shape == expected.shape else math.inf


def _run_outside(wanted: Format, folder: pathlib.Path, inputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    program = pathlib.Path(__file__).with_name("outside.py")
    with tempfile.TemporaryDirectory() as place:
        files = [pathlib.Path(place, name) for name in ("inputs.npz", "outputs.npz")]
        np.savez(files[0], **inputs)
        arguments = [sys.executable, program, wanted.module, (folder / wanted.file).absolute(), *files]
        done = subprocess.run(arguments, capture_output=True, text=True, cwd=place, env=os.environ | {"TF_CPP_MIN_LOG_LEVEL": "3"})
        if done.returncode:
            last = (done.stderr.strip().splitlines() or [f"it ended with {done.returncode}"])[-1]
            raise OutputError(f"{wanted.title}: what was exported can't be used by a process without this package ({last[:300]}).")
        with np.load(files[1]) as outputs:
            return {name: outputs[name] for name in outputs.files}


def _patches(network: keras.Model, companion: Companion | None, any_size: bool) -> list[np.ndarray]:
    """Noise of two sizes; the second isn't one that the network can halve, where that may be.

    The first is small, or of two axes as the network's own patches: where its coarsest stage has few voxels, normalising these
    makes differences of rounding large.
    """
    random, divisor = np.random.default_rng(0), divisors(network)
    first = [max(step, _PATCH // step * step) for step in divisor]
    if companion and len(companion.patch_size) == len(divisor) == 2:
        first = [max(*sizes) for sizes in zip(first, companion.patch_size)]
    second = [max(1, size - 3) if any_size else size + step for size, step in zip(first, divisor)]
    return [random.normal(size=(1, *size, network.input_shape[-1])).astype(np.float32) for size in (first, second)]


def _probabilities(network: keras.Model, patch: np.ndarray) -> np.ndarray:
    """What `saved_model` is to give, said once more in NumPy to compare with."""
    missing = [-size % step for size, step in zip(patch.shape[1:-1], divisors(network))]
    before = [one // 2 for one in missing]
    padded = np.pad(patch, [(0, 0), *((first, one - first) for one, first in zip(missing, before)), (0, 0)])
    logits = keras.ops.softmax(network(padded, training=False))
    inside = tuple(slice(first, first + size) for first, size in zip(before, patch.shape[1:-1]))
    return np.asarray(keras.ops.convert_to_numpy(logits))[(slice(None), *inside)]


def _scans(companion: Companion) -> list[tuple[np.ndarray, np.ndarray]]:
    """Two scans of smooth noise with zeros around it and inside: one within a patch, one that takes two along two axes."""
    plan, random = companion.plan, np.random.default_rng(0)
    patch = companion.patch_size if len(companion.patch_size) == 3 else (3, *companion.patch_size)
    sizes = [max(4, size // 2 - 1) for size in patch], [patch[0] * 3 // 2, patch[1] + 2, max(4, patch[2] // 2)]
    return [_scan(random, plan, size, steps) for size, steps in zip(sizes, _STEPS)]


def _scan(
    random: np.random.Generator, plan: PreprocessingPlan, size: Sequence[int], steps: Sequence[float]
) -> tuple[np.ndarray, np.ndarray]:
    """About as many voxels along the plan's axes, once prepared."""
    spacing = [(new or 1.0) * step for new, step in zip(plan.spacing, steps)]
    shape = [max(4, round(own / step)) for own, step in zip(size, steps)]
    image = np.zeros((*(own + 2 for own in shape), len(plan.channels)), np.float32)
    for index, channel in enumerate(plan.channels):
        smooth = scipy.ndimage.gaussian_filter(random.normal(size=shape), 1.5)
        image[1:-1, 1:-1, 1:-1, index] = _intensities(smooth / smooth.std(), channel)
    image[tuple(slice(own // 2, own // 2 + 2) for own in image.shape[:3])] = 0
    order = np.argsort(plan.transpose)
    return np.ascontiguousarray(image.transpose(*order, 3)), np.float32([spacing[axis] for axis in order])


def _intensities(values: np.ndarray, channel: Normalization) -> np.ndarray:
    """Numbers of mean 0 and deviation 1 as those that a channel may have."""
    if channel.scheme == "ct":
        return values * channel.std + channel.mean
    if channel.scheme == "rgb_to_0_1":
        return np.clip(128 + 40 * values, 0, 255)
    return 300 + 80 * values
