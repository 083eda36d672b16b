"""What a dataset is like, in numbers from which everything else is planned; written as fingerprint.json.

The document has the shape of nnU-Net's (`dataset_json` and `fingerprint`), so that either program's file can be planned from.
"""

import dataclasses
import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from scnas_keras.errors import DataError
from scnas_keras.files import readable_json, write_text

CANONICAL_AXES = ("x", "y", "z")


@dataclasses.dataclass(frozen=True)
class Intensities:
    """Values of one channel over the labelled voxels of all cases; each case counts the same."""

    max: float
    mean: float
    median: float
    min: float
    percentile_00_5: float
    percentile_99_5: float
    std: float


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
        axes: what the three axes of spacings and shapes are called.
        cases: names in the order of spacings and shapes; empty in a file that has none.
    """

    name: str
    channel_names: tuple[str, ...]
    labels: Mapping[str, int | Sequence[int]]
    num_training: int
    spacings: tuple[tuple[float, float, float], ...]
    shapes: tuple[tuple[int, int, int], ...]
    relative_size: float
    intensities: tuple[Intensities, ...]
    axes: tuple[str, ...] = CANONICAL_AXES
    cases: tuple[str, ...] = ()

    def __post_init__(self):
        spacings, shapes = np.array(self.spacings, float), np.array(self.shapes, float)
        if spacings.ndim != 2 or spacings.shape[1] != 3 or spacings.shape != shapes.shape or not len(spacings):
            raise DataError(f"expected three spacings and three sizes a case, found {spacings.shape} spacings and {shapes.shape} sizes")
        if not (np.isfinite(spacings).all() and (spacings > 0).all() and (shapes >= 1).all()):
            raise DataError("spacings must be above 0 mm and sizes at least 1 voxel")
        if len(self.intensities) != len(self.channel_names) or not self.channel_names:
            raise DataError(f"expected intensities for the {len(self.channel_names)} channels, found {len(self.intensities)}")
        if len(self.labels) < 2 or self.num_training < 1 or not 0 < self.relative_size <= 1:
            raise DataError(f"expected at least 2 labels and 1 training case, and a relative size from 0 to 1; found {len(self.labels)}, "
                            f"{self.num_training} and {self.relative_size}")

    def to_json(self) -> str:
        """The document."""
        return readable_json({
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
        })  # fmt: skip

    def save(self, path: str | Path) -> None:
        """Writes fingerprint.json."""
        write_text(path, self.to_json())


def load_fingerprint(path: str | Path) -> Fingerprint:
    """Reads a fingerprint.json of this program, or a document of nnU-Net's `dataset_json` and `fingerprint`.

    Raises:
        DataError: no such file, not JSON, or something is missing or impossible; the message names it.
    """
    path = Path(path).expanduser()
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise DataError(f"{path}: can't be read ({error.strerror}). Make one with: python -m scnas_keras.plan --data_dir=DIR") from error
    except ValueError as error:
        raise DataError(f"{path}: not a JSON document ({error}). Make it again with: python -m scnas_keras.plan --data_dir=DIR") from error
    try:
        return _parse(content, path.stem)
    except KeyError as error:
        raise DataError(f"{path}: the key {error} is missing. A fingerprint holds dataset_json (channel_names, labels, numTraining) and "
                        "fingerprint (spacings, shapes_after_crop, ...).") from error
    except (DataError, TypeError, ValueError, AttributeError) as error:
        raise DataError(f"{path}: not a usable fingerprint: {str(error).rstrip('.')}.") from error


def _parse(content: Any, stem: str) -> Fingerprint:
    dataset, measured = content["dataset_json"], content["fingerprint"]
    names = dataset.get("channel_names") or dataset["modality"]
    channels = sorted(names, key=int)
    properties = measured["foreground_intensity_properties_per_channel"]
    return Fingerprint(
        name=str(dataset.get("name") or stem),
        channel_names=tuple(str(names[index]) for index in channels),
        labels=dict(dataset["labels"]),
        num_training=int(dataset["numTraining"]),
        spacings=tuple(tuple(map(float, spacing)) for spacing in measured["spacings"]),
        shapes=tuple(tuple(map(int, shape)) for shape in measured["shapes_after_crop"]),
        relative_size=float(measured["median_relative_size_after_cropping"]),
        intensities=tuple(_intensities(properties[index]) for index in channels),
        axes=tuple(content.get("axes", ("0", "1", "2"))),
        cases=tuple(content.get("cases", ())),
    )


def _intensities(values: Mapping[str, float]) -> Intensities:
    found = Intensities(**{field.name: float(values[field.name]) for field in dataclasses.fields(Intensities)})
    if not all(math.isfinite(value) for value in dataclasses.astuple(found)):
        raise ValueError(f"intensities must be finite numbers, found {values}")
    return found
