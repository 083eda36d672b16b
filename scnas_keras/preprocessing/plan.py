"""What preprocessing must know beyond the scan itself, as a JSON document saved beside each model."""

import dataclasses
import importlib.util
import json
import math
from collections.abc import Sequence
from typing import Annotated, Literal

from msgspec import Meta

from scnas_keras.documents import Misfit
from scnas_keras.documents.ranges import LabelValue, Name, PatchSize, Spacing, check_consecutive, check_permutation
from scnas_keras.errors import ConfigError

VERSION = 2
Order = Literal[0, 1, 3]
Scheme = Literal["zscore", "zscore_resampled", "ct", "rescale_to_0_1", "rgb_to_0_1", "fixed", "none"]
_NUMBERS = {"ct": ("low", "high", "mean", "std"), "fixed": ("mean", "std")}
"""Schemes that the plan has numbers for."""


@dataclasses.dataclass(frozen=True)
class Normalization:
    """How one channel is normalised.

    Attributes:
        channel: the channel's name.
        scheme: "zscore", by the scan's own mean and standard deviation; "zscore_resampled", by those of the resampled scan; "ct",
            by the dataset's: clip to [low, high] HU, subtract `mean`, divide by `std`; "rescale_to_0_1", by the scan's own range;
            "rgb_to_0_1", divide by 255; "fixed", by the scan's own range, then subtract `mean` and divide by `std`; "none".
        use_mask: for the first two only: statistics over the nonzero voxels (holes filled), and zeros stay zeros.
        low, high: HU, for "ct" only.
        mean, std: HU for "ct", shares of the scan's range for "fixed".
    """

    channel: str
    scheme: Scheme
    use_mask: bool = False
    low: float | None = None
    high: float | None = None
    mean: float | None = None
    std: float | None = None

    def __post_init__(self):
        for name in _NUMBERS.get(self.scheme, ()):
            value = getattr(self, name)
            if value is None or not math.isfinite(value):
                raise Misfit(name, value, f'a number, as the scheme is "{self.scheme}"')
        if self.scheme == "ct" and self.low > self.high:
            raise Misfit("high", self.high, f"a number of at least low, {self.low:g}")
        if self.scheme in _NUMBERS and self.std <= 0:
            raise Misfit("std", self.std, f'a number above 0, as the scheme "{self.scheme}" divides by it')


@dataclasses.dataclass(frozen=True)
class Resampling:
    """Spline orders of resampling: of images, of labels (each class as a map of 0 and 1) and of predicted probabilities.

    A scan whose voxels are more than `anisotropy` times longer along one axis than along the shortest is resampled in the plane
    with these orders, slice by slice, then along that axis with `coarse_axis_order` (nnU-Net 2.4).
    """

    image_order: Order = 3
    label_order: Order = 1
    probabilities_order: Order = 1
    coarse_axis_order: Order = 0
    anisotropy: Annotated[float, Meta(gt=1, le=1e6)] = 3.0


@dataclasses.dataclass(frozen=True)
class Denoising:
    """Curvature flow within slices across the plan's first axis: so many steps, of a length that is stable at voxels of 1."""

    iterations: Annotated[int, Meta(ge=1, le=1000)] = 5
    time_step: Annotated[float, Meta(gt=0, le=0.125)] = 0.125


@dataclasses.dataclass(frozen=True)
class PreprocessingPlan:
    """The steps from a scan to the network's input, repeated by prediction exactly as in training.

    Attributes:
        spacing: mm along the plan's axes after resampling; None for an axis that keeps the scan's own (slices of a 2D network).
        channels: one normalisation per image channel.
        labels: label value to class name; 0 is the background.
        transpose: axis i of the plan is axis `transpose[i]` of the canonical x, y, z; the coarsest comes first.
        resampling: spline orders.
        version: of this document's format.
        slice_size: voxels along the last two axes that each whole slice is brought to, whatever its spacing; None for what follows from
            `spacing`, which then is but what is usual.
        denoising: what is done to intensities before all else, or None.
    """

    spacing: tuple[Spacing | None, Spacing, Spacing]
    channels: Annotated[tuple[Normalization, ...], Meta(min_length=1)]
    labels: dict[LabelValue, Name]
    transpose: tuple[int, int, int] = (0, 1, 2)
    resampling: Resampling = Resampling()
    version: Literal[VERSION] = VERSION
    slice_size: tuple[PatchSize, PatchSize] | None = dataclasses.field(default=None, repr=False)
    denoising: Denoising | None = dataclasses.field(default=None, repr=False)

    def __post_init__(self):
        check_permutation("transpose", self.transpose)
        check_consecutive("labels", self.labels, self.labels)
        if self.slice_size and self.spacing[0] is not None:
            raise Misfit("slice_size", self.slice_size, "none, as spacing resamples slices as well: volumes aren't brought to a size")

    @property
    def target_spacing(self) -> tuple[float | None, ...]:
        """mm along the plan's axes that scans are resampled to; None for axes whose voxels aren't told by it."""
        return (None, None, None) if self.slice_size else self.spacing

    @property
    def mask_channels(self) -> tuple[bool, ...]:
        """For each channel, whether voxels outside of the nonzero mask are 0."""
        return tuple(channel.use_mask for channel in self.channels)

    def to_json(self) -> str:
        """The plan as a JSON document, without the steps that it leaves out; equal plans give equal text."""
        return json.dumps({name: value for name, value in dataclasses.asdict(self).items() if value is not None}, indent=2) + "\n"


def check_denoising(asks: str) -> None:
    """Raises ConfigError, naming what asks to denoise, where SimpleITK isn't installed."""
    if importlib.util.find_spec("SimpleITK") is None:
        raise ConfigError(f"{asks}: denoising needs SimpleITK, which is not installed. Run pip install '.[dicom]' in the cloned folder.")


def parse_spacing(values: Sequence[float]) -> tuple[float, float, float]:
    """Three positive numbers in mm, or ConfigError."""
    try:
        spacing = tuple(float(value) for value in values)
    except ValueError:
        spacing = ()
    if len(spacing) != 3 or not all(math.isfinite(size) and size > 0 for size in spacing):
        given = ",".join(map(str, values))
        raise ConfigError(f"--spacing={given}: expected three positive sizes in mm, decimals with a point, like 0.7,0.7,1.5.")
    return spacing
