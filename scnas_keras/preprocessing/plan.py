"""What preprocessing must know beyond the scan itself, as a JSON document saved beside each model."""

import dataclasses
import json
import math
from collections.abc import Sequence

from scnas_keras.errors import ConfigError, DataError

VERSION = 2
SCHEMES = ("zscore", "ct", "rescale_to_0_1", "rgb_to_0_1", "none")


@dataclasses.dataclass(frozen=True)
class Normalization:
    """How one channel is normalised.

    Attributes:
        channel: the channel's name.
        scheme: "zscore", by the scan's own mean and standard deviation; "ct", by the dataset's: clip to [low, high] HU,
            subtract `mean`, divide by `std`; "rescale_to_0_1", by the scan's own range; "rgb_to_0_1", divide by 255; "none".
        use_mask: for "zscore" only: statistics over the nonzero voxels (holes filled), and zeros stay zeros.
        low, high, mean, std: HU, for "ct" only.
    """

    channel: str
    scheme: str
    use_mask: bool = False
    low: float | None = None
    high: float | None = None
    mean: float | None = None
    std: float | None = None

    def __post_init__(self):
        numbers = (self.low, self.high, self.mean, self.std)
        complete = all(isinstance(number, (int, float)) and math.isfinite(number) for number in numbers)
        if self.scheme not in SCHEMES or (self.scheme == "ct" and not (complete and self.std > 0)):
            raise DataError(
                f"Channel {self.channel}: expected one of the schemes {', '.join(SCHEMES)}, where ct needs low, high, mean "
                f"and a positive std; found {dataclasses.asdict(self)}. Use the plan as it was saved."
            )


@dataclasses.dataclass(frozen=True)
class Resampling:
    """Spline orders of resampling: of images, of labels (each class as a map of 0 and 1) and of predicted probabilities.

    A scan whose voxels are more than `anisotropy` times longer along one axis than along the shortest is resampled in the plane
    with these orders, slice by slice, then along that axis with `coarse_axis_order` (nnU-Net 2.4).
    """

    image_order: int = 3
    label_order: int = 1
    probabilities_order: int = 1
    coarse_axis_order: int = 0
    anisotropy: float = 3.0

    def __post_init__(self):
        orders = (self.image_order, self.label_order, self.probabilities_order, self.coarse_axis_order)
        if any(order not in (0, 1, 3) for order in orders) or not self.anisotropy > 1:
            raise DataError(f"Resampling needs spline orders of 0, 1 or 3 and an anisotropy above 1; found {dataclasses.asdict(self)}.")


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

    spacing: tuple[float | None, float, float]
    channels: tuple[Normalization, ...]
    labels: dict[int, str]
    transpose: tuple[int, int, int] = (0, 1, 2)
    resampling: Resampling = Resampling()
    version: int = VERSION

    @property
    def mask_channels(self) -> tuple[bool, ...]:
        """For each channel, whether voxels outside of the nonzero mask are 0."""
        return tuple(channel.use_mask for channel in self.channels)

    def to_json(self) -> str:
        """The plan as a JSON document; equal plans give equal text."""
        return json.dumps(dataclasses.asdict(self), indent=2) + "\n"

    @classmethod
    def from_json(cls, text: str) -> "PreprocessingPlan":
        """Reads what `to_json` wrote; raises DataError for anything else."""
        try:
            content = json.loads(text)
            if content["version"] != VERSION:
                raise DataError(
                    f"This plan has format version {content['version']}, this program reads {VERSION}. "
                    "Use the program that trained the model, or train again."
                )
            first, *others = content["spacing"]
            spacing = (first if first is None else float(first), *map(float, others))
            if len(spacing) != 3 or sorted(content["transpose"]) != [0, 1, 2]:
                raise ValueError(f"spacing {spacing}, transpose {content['transpose']}")
            return cls(
                spacing,
                tuple(Normalization(**channel) for channel in content["channels"]),
                {int(value): name for value, name in content["labels"].items()},
                tuple(content["transpose"]),
                Resampling(**content["resampling"]),
            )
        except (json.JSONDecodeError, KeyError, TypeError, ValueError, AttributeError) as error:
            raise DataError(
                "Expected a preprocessing plan, found a damaged document "
                f"({type(error).__name__}: {error}). Copy the plan that was saved beside the model again."
            ) from error


def parse_spacing(values: Sequence[float]) -> tuple[float, float, float]:
    """Three positive numbers in mm, or ConfigError."""
    try:
        spacing = tuple(float(value) for value in values)
    except ValueError:
        spacing = ()
    if len(spacing) != 3 or not all(math.isfinite(size) and size > 0 for size in spacing):
        raise ConfigError(f"A spacing is three positive numbers in mm, got {values}. Use for example --spacing=0.7,0.7,0.7.")
    return spacing
