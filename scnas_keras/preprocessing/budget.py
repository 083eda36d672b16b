"""What preparing cases will cost in memory and disk, estimated from the headers alone."""

import math
import shutil
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from scnas_keras.errors import DataError
from scnas_keras.formats.geometry import canonical_grid
from scnas_keras.formats.volumes import Header, read_header
from scnas_keras.preprocessing.foreground import MIN_SHARE, MIN_VOXELS
from scnas_keras.preprocessing.names import FLOAT32
from scnas_keras.preprocessing.normalization import AFTER_RESAMPLING
from scnas_keras.preprocessing.plan import PreprocessingPlan
from scnas_keras.tasks.cases import Case

DISK_RESERVE = 500_000_000
_TEMPORARIES = 400_000_000
_BYTES_PER_INDEX = 12


def memory_needed(cases: Sequence[Case], plan: PreprocessingPlan) -> int:
    """Bytes at the peak of preparing the largest of these cases; 0 if none can be read."""
    return max((_memory(header, plan) for header in _headers(cases)), default=0)


def disk_needed(cases: Sequence[Case], plan: PreprocessingPlan, storage: str) -> int:
    """Bytes that these cases take in the cache at most: what cropping will save isn't known yet."""
    as_they_are = any(channel.scheme == "none" for channel in plan.channels)  # such values may need float32
    per_voxel = np.dtype(FLOAT32 if as_they_are else storage).itemsize * len(plan.channels) + 1 + MIN_SHARE * _BYTES_PER_INDEX
    index = MIN_VOXELS * _BYTES_PER_INDEX * len(plan.labels)
    return sum(math.ceil(per_voxel * _voxels_after(header, plan)) + index for header in _headers(cases))


def check_disk(cases: Sequence[Case], plan: PreprocessingPlan, storage: str, folder: Path) -> None:
    """Raises DataError unless the disk that holds `folder` has room for these cases."""
    needed, free = disk_needed(cases, plan, storage), shutil.disk_usage(folder).free
    if needed > free - DISK_RESERVE:
        raise DataError(
            f"{folder}: preparing {len(cases)} cases needs up to {needed / 1e9:.1f} GB here, beside "
            f"{DISK_RESERVE / 1e9:.1f} GB that stay free, but only {free / 1e9:.1f} GB are free. "
            f"{disk_advice(storage)}"
        )


def disk_advice(storage: str) -> str:
    """What to do about a disk that is too small."""
    half = " Or halve the need with --storage=float16." if storage == FLOAT32 else ""
    return f"Free some space, or choose a folder on a larger disk with --cache_dir.{half}"


def _headers(cases: Sequence[Case]) -> list[Header]:
    headers = []
    for case in cases:
        try:
            headers.append(read_header(case.images, own_series=case.own_series))
        except DataError:
            continue  # reported when its turn comes
    return headers


def _memory(header: Header, plan: PreprocessingPlan) -> int:
    """The peak is either in reading the files, or in resampling: scan, normalised channel, label, mask and result.

    A channel that is normalised after resampling has its copy there; one that is denoised has another before.
    """
    before, after, channels = math.prod(header.shape), _voxels_after(header, plan), len(plan.channels)
    reading = before * max(20, 12 * channels + 4)
    late = any(channel.scheme == AFTER_RESAMPLING for channel in plan.channels)
    resampling = before * (4 * channels + 8 + 4 * bool(plan.denoising)) + after * (4 * channels + 3 + 5 * late)
    return int(max(reading, resampling)) + _TEMPORARIES


def _voxels_after(header: Header, plan: PreprocessingPlan) -> float:
    """Voxels after resampling, without cropping. Only the product of sizes counts, so their order doesn't matter."""
    if plan.slice_size:
        return canonical_grid(header.affine, header.shape)[1][plan.transpose[0]] * math.prod(plan.slice_size)
    spacing = [header.spacing[axis] for axis in plan.transpose]
    return math.prod(header.shape) * math.prod(old / (new or old) for old, new in zip(spacing, plan.spacing) if old > 0)
