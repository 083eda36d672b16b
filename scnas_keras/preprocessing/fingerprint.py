"""What a dataset is like, in numbers from which everything else is planned; written as fingerprint.json.

The document has the shape of nnU-Net's (`dataset_json` and `fingerprint`), so that either program's file can be planned from.
"""

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from scnas_keras.documents import entry, read_document, typed
from scnas_keras.errors import DataError
from scnas_keras.files import readable_json, write_text

CANONICAL_AXES = ("x", "y", "z")
MIN_SPACING, MAX_SPACING = 1e-6, 1e4  # mm: beyond these a file is damaged or has another unit
MAX_SIZE, MAX_CASES = 10**6, 10**9


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
        axes: what the three axes of spacings and shapes are called; numbers where a file of nnU-Net's doesn't say.
        cases: names in the order of spacings and shapes; empty in a file that has none.
    """

    name: str
    channel_names: tuple[str, ...]
    labels: Mapping[str, int | tuple[int, ...]]
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
        if not ((spacings >= MIN_SPACING) & (spacings <= MAX_SPACING) & (shapes >= 1) & (shapes <= MAX_SIZE)).all():
            raise DataError(f"spacings must be above 0 mm (from {MIN_SPACING:g} to {MAX_SPACING:g}) and sizes 1 to {MAX_SIZE:g} voxels")
        if len(self.intensities) != len(self.channel_names) or not self.channel_names:
            raise DataError(f"expected intensities for the {len(self.channel_names)} channels, found {len(self.intensities)}")
        if len(self.labels) < 2 or not 1 <= self.num_training <= MAX_CASES or not 0 < self.relative_size <= 1:
            raise DataError(
                f"expected at least 2 labels and 1 training case, and a relative size from 0 to 1; found {len(self.labels)}, "
                f"{self.num_training} and {self.relative_size}"
            )
        if len(set(self.axes)) != 3 or len(self.cases) not in (0, len(spacings)):
            raise DataError(
                f"expected three different axes, and a name for each of {len(spacings)} cases or none; found {list(self.axes)} and "
                f"{len(self.cases)} names"
            )

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
    content = read_document(path, "To make a new one: python -m scnas_keras.plan --data_dir=DIR --output=PLAN")
    if "dataset_json" not in content or "fingerprint" not in content:
        raise DataError(f"{path}: {_what_is_missing(content)}")
    try:
        return _parse(content, path.stem)
    except DataError as error:
        raise DataError(f"{path}: not a usable fingerprint: {str(error).rstrip('.')}.") from error


def _what_is_missing(content: Mapping[str, Any]) -> str:
    together = 'Put nnU-Net\'s two files together as {"dataset_json": <dataset.json>, "fingerprint": <dataset_fingerprint.json>}.'
    if "spacings" in content:
        return f"holds what nnU-Net measured, but not what its dataset.json says. {together}"
    if "labels" in content and "configurations" not in content:
        return f"holds what dataset.json says, but nothing measured. {together}"
    missing = [f'"{key}"' for key in ("dataset_json", "fingerprint") if key not in content]
    return f"not a fingerprint: {' and '.join(missing)} missing, found {', '.join(list(content)[:8]) or 'nothing'}. {together}"


def _parse(content: Mapping[str, Any], stem: str) -> Fingerprint:
    dataset, measured = entry(content, "dataset_json", dict), entry(content, "fingerprint", dict)
    names = entry(
        dataset, "modality" if "modality" in dataset and not dataset.get("channel_names") else "channel_names", dict, "dataset_json"
    )
    if not all(index.isdecimal() for index in names):
        raise DataError(f'dataset_json.channel_names must be numbered, like {{"0": "T1", "1": "T2"}}; found {names}')
    channels = sorted(names, key=int)
    properties = entry(measured, "foreground_intensity_properties_per_channel", dict, "fingerprint")
    return Fingerprint(
        name=str(dataset.get("name") or stem),
        channel_names=tuple(str(names[index]) for index in channels),
        labels=_labels(entry(dataset, "labels", dict, "dataset_json")),
        num_training=entry(dataset, "numTraining", int, "dataset_json"),
        spacings=entry(measured, "spacings", tuple[tuple[float, float, float], ...], "fingerprint"),
        shapes=entry(measured, "shapes_after_crop", tuple[tuple[int, int, int], ...], "fingerprint"),
        relative_size=entry(measured, "median_relative_size_after_cropping", float, "fingerprint"),
        intensities=tuple(_intensities(properties, index) for index in channels),
        axes=typed(content.get("axes", ["0", "1", "2"]), tuple[str, str, str], "axes"),
        cases=typed(content.get("cases", []), tuple[str, ...], "cases"),
    )


def _intensities(properties: Mapping[str, Any], index: str) -> Intensities:
    place = "fingerprint.foreground_intensity_properties_per_channel"
    found = entry(properties, index, dict, place)
    return Intensities(**{field.name: entry(found, field.name, float, f"{place}.{index}") for field in dataclasses.fields(Intensities)})


def _labels(found: Mapping[str, Any]) -> dict[str, int | tuple[int, ...]]:
    """Name to value or values; a Decathlon's dataset.json has them the other way round."""
    if all(value.isdecimal() and isinstance(name, str) for value, name in found.items()):
        names = list(found.values())
        return {name if names.count(name) == 1 else f"{name} ({value})": int(value) for value, name in found.items()}
    return {
        name: typed(value, tuple[int, ...] if isinstance(value, list) else int, f"dataset_json.labels.{name}")
        for name, value in found.items()
    }
