"""What a dataset is like, in numbers from which everything else is planned; written as fingerprint.json.

The document has the shape of nnU-Net's (`dataset_json` and `fingerprint`), so that either program's file can be planned from.
"""

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

from msgspec import Meta

from scnas_keras.documents import Misfit, decode, parse
from scnas_keras.documents.places import written
from scnas_keras.documents.ranges import Count, Index, Labels, LabelValue, Name, Size, Spacing, check_different, check_labels
from scnas_keras.errors import DataError
from scnas_keras.files import file_in, readable_json, write_text
from scnas_keras.preprocessing.names import FINGERPRINT
from scnas_keras.tasks.spellings import usual

CANONICAL_AXES = ("x", "y", "z")
_REMEDY = "To make a new one: scnas plan --data_dir=DIR --output=PLAN"
Triple = tuple[Spacing, Spacing, Spacing]
Shape = tuple[Size, Size, Size]


@dataclasses.dataclass(frozen=True)
class Intensities:
    """Values of one channel over the labelled voxels of all cases; each case counts the same."""

    max: float
    mean: float
    median: float
    min: float
    percentile_00_5: float
    percentile_99_5: float
    std: Annotated[float, Meta(ge=0)]

    def __post_init__(self):
        if self.percentile_00_5 > self.percentile_99_5:
            raise Misfit("percentile_99_5", self.percentile_99_5, f"at least percentile_00_5, {self.percentile_00_5:g}")


@dataclasses.dataclass(frozen=True)
class Fingerprint:
    """A dataset in numbers.

    Attributes:
        name: the dataset's.
        channel_names: in order.
        labels: class name to its value, or to its values where classes are regions; as in nnU-Net's dataset.json.
        num_training: number of labelled cases.
        spacings: mm, one triple per case.
        shapes: voxels after cropping to the nonzero box, one triple per case.
        relative_size: median of cropped volume over whole volume.
        intensities: per channel.
        axes: what the three axes of spacings and shapes are called; numbers where a file of nnU-Net's doesn't say.
        cases: names in the order of spacings and shapes; empty in a file that has none.
    """

    name: str
    channel_names: tuple[str, ...]
    labels: Labels
    num_training: int
    spacings: tuple[Triple, ...]
    shapes: tuple[Shape, ...]
    relative_size: float
    intensities: tuple[Intensities, ...]
    axes: tuple[str, ...] = CANONICAL_AXES
    cases: tuple[str, ...] = ()

    def __post_init__(self):
        check_labels("dataset_json.labels", self.labels)
        check_different("axes", self.axes)
        count = len(self.spacings)
        if len(self.shapes) != count:
            raise Misfit("fingerprint.shapes_after_crop", self.shapes, f"a list of {count}, one for each case of spacings")
        if len(self.cases) not in (0, count):
            raise Misfit("cases", self.cases, f"a name for each of {count} cases of fingerprint.spacings, or none")

    def to_json(self) -> str:
        """The document."""
        return readable_json(
            {
                "dataset_json": {
                    "name": self.name,
                    "channel_names": {str(index): name for index, name in enumerate(self.channel_names)},
                    "labels": dict(self.labels),
                    "numTraining": self.num_training,
                },
                "axes": list(self.axes),
                "cases": list(self.cases),
                "fingerprint": {
                    "spacings": [list(spacing) for spacing in self.spacings],
                    "shapes_after_crop": [list(shape) for shape in self.shapes],
                    "median_relative_size_after_cropping": self.relative_size,
                    "foreground_intensity_properties_per_channel": {
                        str(index): dataclasses.asdict(intensities) for index, intensities in enumerate(self.intensities)
                    },
                },
            }
        )

    def save(self, path: str | Path) -> None:
        """Writes fingerprint.json."""
        write_text(path, self.to_json())


@dataclasses.dataclass(frozen=True)
class _Described:
    """What is read of a dataset.json, of nnU-Net's or the Decathlon's form."""

    labels: dict[Name, LabelValue | tuple[LabelValue, ...] | str]
    numTraining: Count
    channel_names: dict[Index, str] = dataclasses.field(default_factory=dict)
    modality: dict[Index, str] = dataclasses.field(default_factory=dict)
    name: Any = None

    def __post_init__(self):
        if not self.channels:
            raise Misfit("channel_names", self.channel_names, 'the names of the channels, like {"0": "T1", "1": "T2"}')

    @property
    def channels(self) -> dict[int, str]:
        return self.channel_names or self.modality


@dataclasses.dataclass(frozen=True)
class _Measured:
    """nnU-Net's dataset_fingerprint.json."""

    spacings: Annotated[tuple[Triple, ...], Meta(min_length=1)]
    shapes_after_crop: tuple[Shape, ...]
    median_relative_size_after_cropping: Annotated[float, Meta(gt=0, le=1)]
    foreground_intensity_properties_per_channel: dict[Index, Intensities]


@dataclasses.dataclass(frozen=True)
class _Document:
    dataset_json: _Described
    fingerprint: _Measured
    axes: tuple[Name, Name, Name] = ("0", "1", "2")
    cases: tuple[str, ...] = ()


def load_fingerprint(path: str | Path) -> Fingerprint:
    """Reads a fingerprint.json of this program, or a document of nnU-Net's `dataset_json` and `fingerprint`.

    Raises:
        DataError: no such file, not JSON, or something is missing or impossible; the message names it.
    """
    path = file_in(path, FINGERPRINT)
    content = parse(path, _REMEDY)
    if isinstance(content, dict) and not ("dataset_json" in content and "fingerprint" in content):
        raise DataError(f"{path}: {_what_is_missing(content)}")
    if isinstance(content, dict):
        content = content | {"dataset_json": usual(content["dataset_json"])}
    document = decode(content, _Document, path, _REMEDY, other_keys=True)
    try:
        return _fingerprint(document, Path(path).stem)
    except Misfit as error:
        raise DataError(f"{path}: {error}. {_REMEDY}") from error


def _what_is_missing(content: Mapping[str, Any]) -> str:
    together = 'Put nnU-Net\'s two files together as {"dataset_json": <dataset.json>, "fingerprint": <dataset_fingerprint.json>}.'
    if "spacings" in content:
        return f"holds what nnU-Net measured, but not what its dataset.json says. {together}"
    if "labels" in content and "configurations" not in content:
        return f"holds what dataset.json says, but nothing measured. {together}"
    missing = [f'"{key}"' for key in ("dataset_json", "fingerprint") if key not in content]
    return f"found the keys {', '.join(list(content)[:8]) or 'none'}, expected {' and '.join(missing)}. {together}"


def _fingerprint(document: _Document, stem: str) -> Fingerprint:
    described, measured = document.dataset_json, document.fingerprint
    channels, properties = sorted(described.channels), measured.foreground_intensity_properties_per_channel
    for channel in channels:
        if channel not in properties:
            place = "fingerprint.foreground_intensity_properties_per_channel"
            raise Misfit(place, list(map(str, properties)), f'the keys of dataset_json\'s channels, "{channel}" among them')
    return Fingerprint(
        name=str(described.name or stem),
        channel_names=tuple(described.channels[channel] for channel in channels),
        labels=_labels(described.labels),
        num_training=described.numTraining,
        spacings=measured.spacings,
        shapes=measured.shapes_after_crop,
        relative_size=measured.median_relative_size_after_cropping,
        intensities=tuple(properties[channel] for channel in channels),
        axes=document.axes,
        cases=document.cases,
    )


def _labels(found: Mapping[str, LabelValue | tuple[LabelValue, ...] | str]) -> Labels:
    """Name to value or values; a Decathlon's dataset.json has them the other way round."""
    if all(value.isdecimal() and isinstance(name, str) for value, name in found.items()):
        names = list(found.values())
        return {name if names.count(name) == 1 else f"{name} ({value})": int(value) for value, name in found.items()}
    for name, value in found.items():
        if isinstance(value, str):
            raise Misfit(written(("dataset_json", "labels", name)), value, "a whole number or a list of whole numbers")
    return found
