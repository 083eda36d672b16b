"""Whether an exported network computes what it was exported from, found in a process that can't import this package."""

import dataclasses
import os
import pathlib
import subprocess
import sys
import tempfile
from collections.abc import Sequence

import keras
import numpy as np
import scipy

from scnas_keras.errors import OutputError
from scnas_keras.formats.volumes import volume_of
from scnas_keras.inference.companion import Companion
from scnas_keras.inference.model_folder import SegmentationModel
from scnas_keras.networks.divisors import divisors
from scnas_keras.preprocessing.plan import Normalization, PreprocessingPlan
from scnas_keras.serving.names import FORMATS

LARGEST_DIFFERENCE, FEWEST_EQUAL = 1e-3, 0.999
"""Of probabilities of patches; share of the voxels of a scan."""
_PATCH = 32
_STEPS = (1.0, 1.0, 1.0), (0.8, 1.25, 1.1)
"""Spacings of the two scans, in those of the plan."""


@dataclasses.dataclass(frozen=True)
class Agreement:
    """How far an exported network agrees with its model.

    Attributes:
        difference: the largest of probabilities, over two patches.
        equal: the share of voxels with the same class, over two scans; None if it takes no scans.
    """

    difference: float
    equal: float | None


def check(network: keras.Model, companion: Companion | None, kind: str, folder: pathlib.Path) -> Agreement:
    """Compares both on two patches of noise and, where whole scans are taken, on two scans.

    Args:
        network, companion: what was exported. On CPUs the network's layers take their fast forms from here on.
        kind: of `names.FORMATS`.
        folder: what was written.

    Raises:
        OutputError: the other process failed, or they don't agree.
    """
    patches = {f"serve/{index}": patch for index, patch in enumerate(_patches(network, FORMATS[kind].any_size))}
    scans = _scans(companion) if companion and kind == "saved_model" else []
    inputs = dict(patches)
    for index, (image, spacing) in enumerate(scans):
        inputs |= {f"segment/{index}/image": image, f"segment/{index}/spacing": spacing}
    found = _run_outside(kind, folder, inputs)
    difference = max(float(np.abs(found[name] - _probabilities(network, patch)).max()) for name, patch in patches.items())
    equal = None
    if companion and scans:
        model = SegmentationModel(network, companion.plan, companion.patch_size)
        own = [model.segment(volume_of(image, spacing)) for image, spacing in scans]
        equal = float(np.mean(np.concatenate([(found[f"segment/{index}"] == one).ravel() for index, one in enumerate(own)])))
    result = Agreement(difference, equal)
    if not difference <= LARGEST_DIFFERENCE or (equal is not None and equal < FEWEST_EQUAL):
        raise OutputError(
            f"{FORMATS[kind].title}: what was exported doesn't compute what the model does ({told(result)}). It was removed; please report "
            "this."
        )
    return result


def told(result: Agreement) -> str:
    """An agreement in words."""
    scans = "" if result.equal is None else f"; {result.equal:.3%} of the voxels of two scans have the same class"
    return f"largest difference of probabilities {result.difference:.1e}{scans}"


def _run_outside(kind: str, folder: pathlib.Path, inputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    program = pathlib.Path(__file__).with_name("outside.py")
    with tempfile.TemporaryDirectory() as place:
        files = [pathlib.Path(place, name) for name in ("inputs.npz", "outputs.npz")]
        np.savez(files[0], **inputs)
        arguments = [sys.executable, program, kind, folder.absolute(), *files]
        done = subprocess.run(arguments, capture_output=True, text=True, cwd=place, env=os.environ | {"TF_CPP_MIN_LOG_LEVEL": "3"})
        if done.returncode:
            last = (done.stderr.strip().splitlines() or [f"it ended with {done.returncode}"])[-1]
            raise OutputError(f"{FORMATS[kind].title}: what was exported can't be used by a process without this package ({last[:300]}).")
        with np.load(files[1]) as outputs:
            return {name: outputs[name] for name in outputs.files}


def _patches(network: keras.Model, any_size: bool) -> list[np.ndarray]:
    """Noise of two sizes; the second isn't one that the network can halve, where that may be."""
    random, divisor = np.random.default_rng(0), divisors(network)
    first = [max(step, _PATCH // step * step) for step in divisor]
    second = [max(1, size - 3) if any_size else size + step for size, step in zip(first, divisor)]
    return [random.normal(size=(1, *size, network.input_shape[-1])).astype(np.float32) for size in (first, second)]


def _probabilities(network: keras.Model, patch: np.ndarray) -> np.ndarray:
    missing = [-size % step for size, step in zip(patch.shape[1:-1], divisors(network))]
    before = [one // 2 for one in missing]
    padded = np.pad(patch, [(0, 0), *((first, one - first) for one, first in zip(missing, before)), (0, 0)])
    logits = keras.ops.softmax(network(padded, training=False))
    inside = tuple(slice(first, first + size) for first, size in zip(before, patch.shape[1:-1]))
    return np.asarray(keras.ops.convert_to_numpy(logits))[(slice(None), *inside)]


def _scans(companion: Companion) -> list[tuple[np.ndarray, np.ndarray]]:
    """Two scans of smooth noise with zeros around it and inside: one within a patch, one that takes two."""
    plan, random = companion.plan, np.random.default_rng(0)
    patch = companion.patch_size if len(companion.patch_size) == 3 else (3, *companion.patch_size)
    sizes = [max(4, size // 2 - 1) for size in patch], [max(4, size // 2) for size in patch[:2]] + [patch[2] * 3 // 2]
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
