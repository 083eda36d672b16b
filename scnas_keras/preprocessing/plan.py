"""What preprocessing must know beyond the scan itself, as a JSON document saved beside each model."""

import dataclasses
import json
import math
from collections.abc import Sequence
from typing import Annotated, Literal

from msgspec import Meta

from scnas_keras.documents import Misfit
from scnas_keras.documents.ranges import LabelValue, Name, Spacing, check_consecutive, check_permutation
from scnas_keras.errors import ConfigError

VERSION = 2
Order = Literal[0, 1, 3]
Scheme = Literal["zscore", "zscore_resampled", "ct", "rescale_to_0_1", "rgb_to_0_1", "none"]


@dataclasses.dataclass(frozen=True)
class Normalization:
    """How one channel is normalised.

    Attributes:
        channel: the channel's name.
        scheme: "zscore", by the scan's own mean and standard deviation; "zscore_resampled", by those of the resampled scan; "ct",
            by the dataset's: clip to [low, high] HU, subtract `mean`, divide by `std`; "rescale_to_0_1", by the scan's own range;
            "rgb_to_0_1", divide by 255; "none".
        use_mask: for the first two only: statistics over the nonzero voxels (holes filled), and zeros stay zeros.
        low, high, mean, std: HU, for "ct" only.
    """

    channel: str
    scheme: Scheme
    use_mask: bool = False
    low: float | None = None
    high: float | None = None
    mean: float | None = None
    std: float | None = None

    def __post_init__(self):
        if self.scheme != "ct":
            return
        for name in ("low", "high", "mean", "std"):
            value = getattr(self, name)
            if value is None or not math.isfinite(value):
                raise Misfit(name, value, 'a number, as the scheme is "ct"')
        if self.low > self.high:
            raise Misfit("high", self.high, f"a number of at least low, {self.low:g}")
        if self.std <= 0:
            raise Misfit("std", self.std, 'a number above 0, as the scheme "ct" divides by it')


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
class PreprocessingPlan:
    """The steps from a scan to the network's input, repeated by prediction exactly as in training.

    Attributes:
        spacing: mm along the plan's axes after resampling; None for an axis that keeps the scan's own (slices of a 2D network).
        channels: one normalisation per image channel.
        labels: label value to class name; 0 is the background.
        transpose: axis i of the plan is axis `transpose[i]` of the canonical x, y, z; the coarsest comes first.
        resampling: spline orders.
        version: of this document's format.
    """

    spacing: tuple[Spacing | None, Spacing, Spacing]
    channels: Annotated[tuple[Normalization, ...], Meta(min_length=1)]
    labels: dict[LabelValue, Name]
    transpose: tuple[int, int, int] = (0, 1, 2)
    resampling: Resampling = Resampling()
    version: Literal[VERSION] = VERSION

    def __post_init__(self):
        check_permutation("transpose", self.transpose)
        check_consecutive("labels", self.labels, self.labels)

    @property
    def mask_channels(self) -> tuple[bool, ...]:
        """For each channel, whether voxels outside of the nonzero mask are 0."""
        return tuple(channel.use_mask for channel in self.channels)

    def to_json(self) -> str:
        """The plan as a JSON document; equal plans give equal text."""
        return json.dumps(dataclasses.asdict(self), indent=2) + "\n"


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
