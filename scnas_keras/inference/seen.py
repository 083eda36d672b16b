"""What the scans that a network was trained on were like, and in what a new one differs. Imports no framework."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Annotated

import numpy as np
from msgspec import Meta

from scnas_keras.checks.intensities import is_foreign
from scnas_keras.documents import Misfit
from scnas_keras.documents.ranges import Spacing
from scnas_keras.errors import DataError, times
from scnas_keras.formats.volumes import Volume
from scnas_keras.machine.memory import available_memory
from scnas_keras.preprocessing.grids import prepared_shape
from scnas_keras.preprocessing.plan import PreprocessingPlan
from scnas_keras.preprocessing.prepared_case import PreparedCase

Extent = Annotated[float, Meta(gt=0, le=1e7)]
OFF_SPACING, OFF_EXTENT = 1.5, 2.0
"""Factors by which a scan's spacing and extent may be beyond those seen in training."""
FEWEST, SHRINKS = 4, 4.0
"""Voxels along an axis under which a scan that is resampled to fewer by more than this factor is of another unit, not of another size."""
_PERCENTILES = "0.5 and 99.5 percentiles"
_BYTES, _AT_LEAST = 4, 2**29
"""Of a voxel: masks and the segmentation. And of any scan: maps of a slab, tiles."""


@dataclass(frozen=True)
class Seen:
    """The least and the most that training scans had of each.

    Attributes:
        spacing: mm along x, y and z.
        extent: mm along x, y and z.
        intensity: of each channel, 0.5 and 99.5 percentiles; of those of all scans (least low, most high).
        contrast: least distance between a scan's percentiles, by channel.
    """

    spacing: tuple[tuple[Spacing, Spacing], tuple[Spacing, Spacing], tuple[Spacing, Spacing]]
    extent: tuple[tuple[Extent, Extent], tuple[Extent, Extent], tuple[Extent, Extent]]
    intensity: Annotated[tuple[tuple[float, float], ...], Meta(min_length=1)]
    contrast: tuple[Annotated[float, Meta(ge=0)], ...]

    def __post_init__(self):
        for name in ("spacing", "extent", "intensity"):
            for index, (low, high) in enumerate(getattr(self, name)):
                if not low <= high:
                    raise Misfit(f"{name}[{index}]", (low, high), "the lower number first")
        if len(self.contrast) != len(self.intensity):
            raise Misfit("contrast", self.contrast, f"{len(self.intensity)} numbers, one a channel")


def seen_in(cases: Iterable[PreparedCase]) -> Seen:
    """What the scans of prepared cases were like."""
    cases = list(cases)
    spacing = np.array([case.crop.spacing for case in cases])
    extent = spacing * np.array([case.crop.shape for case in cases])
    low, high = np.moveaxis(np.array([case.ranges for case in cases]), -1, 0)
    spans = [tuple((float(a), float(b)) for a, b in zip(array.min(0), array.max(0))) for array in (spacing, extent)]
    return Seen(*spans, tuple(zip(low.min(0).tolist(), high.max(0).tolist())), tuple((high - low).min(0).tolist()))


def differences(seen: Seen, volume: Volume, ranges: Sequence[tuple[float, float]], channels: Sequence[str]) -> list[str]:
    """In what a scan differs from those seen, each with both figures.

    Args:
        seen: in training.
        volume: the scan.
        ranges: `intensity_ranges` of it.
        channels: their names.
    """
    found, extent = [], np.multiply(volume.spacing, volume.array.shape[:3])
    lengths = ("spacing", volume.spacing, seen.spacing, OFF_SPACING), ("extent", extent, seen.extent, OFF_EXTENT)
    for what, values, known, factor in lengths:
        for axis, value, (low, high) in zip("xyz", values, known):
            if not low / factor <= value <= high * factor:
                found.append(f"{what} along {axis} {_figure(value)} mm, in training scans {_span(low, high)}")
    for name, (low, high), (least, most), contrast in zip(channels, ranges, seen.intensity, seen.contrast):
        if is_foreign(low, high, least, most, contrast):
            found.append(f"{name} from {_figure(low)} to {_figure(high)}, in training scans {_span(least, most)} ({_PERCENTILES})")
    return found


def check_grid(volume: Volume, plan: PreprocessingPlan) -> None:
    """Refuses a scan whose prepared grid would have next to no voxels, or more than memory holds.

    Raises:
        DataError: naming what the header says.
    """
    size, spacing = (tuple(values[axis] for axis in plan.transpose) for values in (volume.array.shape, volume.spacing))
    shape = prepared_shape(size, spacing, plan)
    grid = (
        f"{volume.geometry.path}: the header says {times(size)} voxels of {times(f'{step:.4g}' for step in spacing)} mm, which the model "
        f"would see as {times(shape)} voxels"
    )
    if any(new < FEWEST and old > SHRINKS * new for old, new in zip(size, shape)):
        raise DataError(f"{grid}: next to nothing. Correct the spacing or the unit (xyzt_units in NIfTI) in the header.")
    needed = bytes_needed(shape)
    if needed > (free := available_memory()):
        raise DataError(
            f"{grid}, for which {needed / 2**30:.3g} GiB of memory are needed and {free / 2**30:.3g} are free. Correct the spacing or the "
            "unit in the header if it's wrong; else crop the scan, or use a machine with more memory."
        )


def bytes_needed(shape: Sequence[int]) -> int:
    """Memory that segmenting a scan of so many prepared voxels takes, whose intensities and probabilities are in scratch files."""
    return _AT_LEAST + _BYTES * int(np.prod(shape, dtype=float))


def _span(low: float, high: float) -> str:
    return _figure(low) if low == high else f"{_figure(low)} to {_figure(high)}"


def _figure(value: float) -> str:
    return f"{value:.0f}" if 1e3 <= abs(value) < 1e7 else f"{value:.4g}"
