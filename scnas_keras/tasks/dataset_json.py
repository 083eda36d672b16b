"""What layouts share: dataset.json with its names of channels and labels, and checks of the cases found."""

import dataclasses
import json
import os
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

from msgspec import Meta

from scnas_keras.documents import load
from scnas_keras.documents.ranges import Index, Name
from scnas_keras.errors import DataError
from scnas_keras.tasks.cases import Case

IGNORE = "ignore"
MAX_LABELS = 256
_EXAMPLES = {
    "modality": '"modality": {"0": "FLAIR", "1": "T1w"}',
    "labels": '"labels": {"0": "background", "1": "tumour"}',
    "training": '"training": [{"image": "./imagesTr/a.nii.gz", "label": "./labelsTr/a.nii.gz"}, ...]',
    "file_ending": '"file_ending": ".nii.gz"',
}


@dataclasses.dataclass(frozen=True)
class Labels:
    """The "labels" of a dataset.json; see `scnas_keras.tasks.cases.Task` for the attributes."""

    names: dict[int, str]
    regions: dict[str, tuple[int, ...]] = dataclasses.field(default_factory=dict)
    ignore_label: int | None = None
    label_map: dict[int, int] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True)
class ListedPair:
    """An entry of "training": paths from the folder of dataset.json."""

    image: Name
    label: Name


@dataclasses.dataclass(frozen=True)
class ListedImage:
    """An entry of "test"."""

    image: Name


@dataclasses.dataclass(frozen=True)
class ListedCase:
    """An entry of "dataset": a file for each channel, and the label."""

    images: Annotated[tuple[Name, ...], Meta(min_length=1)]
    label: Name


@dataclasses.dataclass(frozen=True)
class DatasetJson:
    """What is read of a dataset.json, of the Decathlon's, nnU-Net's or our form; other keys may stand beside these.

    Attributes:
        name: the dataset's.
        modality, channel_names: index to name of the channels (Decathlon; nnU-Net).
        labels: value to name (Decathlon), or name to value or values (nnU-Net).
        regions_class_order: values that regions are painted with.
        training, test: the Decathlon's cases.
        dataset: nnU-Net's cases by name, where they aren't found in folders.
        file_ending: of the files in nnU-Net's folders.
        numTraining, numTest: numbers of cases, as declared.
    """

    name: Any = None
    modality: dict[Index, str] = dataclasses.field(default_factory=dict)
    channel_names: dict[Index, str] = dataclasses.field(default_factory=dict)
    labels: dict[Name, int | tuple[int, ...] | Name] = dataclasses.field(default_factory=dict)
    regions_class_order: tuple[int, ...] | None = None
    training: tuple[ListedPair, ...] | None = None
    test: tuple[Name | ListedImage, ...] = ()
    dataset: dict[Name, ListedCase] | None = None
    file_ending: str | None = None
    numTraining: Any = None
    numTest: Any = None


def read_dataset(file: Path) -> DatasetJson:
    """What a dataset.json says; DataError names the place of what is broken."""
    return load(file, DatasetJson, "Mend this place, or download the file again.", other_keys=True)


def missing_entry(file: Path, key: str) -> DataError:
    """The error that a key is missing or empty, with an example."""
    return DataError(f'{file}: found no entry for "{key}", expected for example {_EXAMPLES[key]}. Add it.')


def channel_names(file: Path, content: DatasetJson) -> tuple[str, ...]:
    """Names of the image channels, from "modality" (MSD) or "channel_names" (nnU-Net)."""
    key = "modality" if content.modality or not content.channel_names else "channel_names"
    names = getattr(content, key)
    if not names:
        raise missing_entry(file, key)
    if sorted(names) != list(range(len(names))):
        raise DataError(f"{file}: {key}: found {json.dumps(names)}, expected indices 0, 1, 2, ... without a gap. Renumber them.")
    return tuple(names[index] for index in range(len(names)))


def parse_labels(file: Path, content: DatasetJson, binary_255: bool = False) -> Labels:
    """Reads "labels": {"1": "edema"} (MSD) or {"edema": 1} (nnU-Net), with regions and an ignore label if there are.

    Args:
        file: dataset.json, for errors.
        content: what it holds.
        binary_255: whether the foreground of two classes may be 255, as in pictures.
    """
    found = content.labels
    if not found:
        raise missing_entry(file, "labels")
    pairs = _pairs(found)
    regions = any(isinstance(value, tuple) for value in found.values()) if pairs else False
    ignored = [values for name, values in pairs if name == IGNORE]
    pairs = [(name, values) for name, values in pairs if name != IGNORE]
    values = sorted({value for _, members in pairs for value in members})
    label_map = {}
    if binary_255 and not regions and values == [0, 255]:
        pairs, values, label_map = [(name, (min(members[0], 1),)) for name, members in pairs], [0, 1], {255: 1}
    named_twice = len(pairs) > len(values) and not regions
    if not 2 <= len(values) <= MAX_LABELS or values != list(range(len(values))) or named_twice:
        raise DataError(
            f"{file}: labels: found {json.dumps(found)}, expected names for the values 0 (background), 1, 2, ... up to at most "
            f'{MAX_LABELS - 1} without a gap, for example {{"0": "background", "1": "tumour"}}. '
            "Renumber the labels here and in the label files; where these are NIfTI, python -m "
            "scnas_keras.verify --fix=remap --fixed_dir=NEW writes a copy with both renumbered."
        )
    if ignored and ignored != [(len(values),)]:
        raise DataError(
            f"{file}: labels.{IGNORE}: found {json.dumps(found[IGNORE])}, expected the highest value, here {len(values)}. "
            "Renumber it here and in the label files."
        )
    ignore_label = len(values) if ignored else None
    if not regions:
        names = {members[0]: name for name, members in sorted(pairs, key=lambda pair: pair[1])}
        return Labels(names, {}, ignore_label, label_map)
    painted = _painted_regions(file, content, [(name, members) for name, members in pairs if members != (0,)])
    background = next((name for name, members in pairs if members == (0,)), "background")
    names = {value: _region_name(value, painted) if value else background for value in values}
    return Labels(names, painted, ignore_label)


def check_cases(file: Path, cases: Sequence[Case]) -> tuple[Case, ...]:
    """The cases sorted by name; DataError if a name occurs twice or can't be a file's name, or a file is missing."""
    repeated = [name for name, count in Counter(case.name for case in cases).items() if count > 1]
    if repeated:
        raise DataError(
            f"{file}: {len(repeated)} case names occur more than once: {some(repeated)}. Every label file "
            "needs a name of its own; rename the files or take out the repeated entries."
        )
    unusable = [case.name for case in cases if Path(case.name).name != case.name]
    if unusable:
        raise DataError(f"{file}: {len(unusable)} names of cases can't name a file: {some(unusable)}. Rename them.")
    missing = [str(path) for case in cases for path in case.files if not os.path.exists(path)]  # unlike Path's, for any text
    if missing:
        unset = " Set the environment variables in these paths." if any("$" in path for path in missing) else ""
        raise DataError(
            f"{file}: {len(missing)} of the files that it lists are missing: {some(missing)}.{unset} "
            "Unpack the download again, or take these entries out of dataset.json."
        )
    return tuple(sorted(cases, key=lambda case: case.name))


def some(names: Sequence[str], limit: int = 5) -> str:
    """The first names, and how many more there are."""
    return ", ".join(names[:limit]) + (f" and {len(names) - limit} more" if len(names) > limit else "")


def _pairs(found: Mapping[str, int | tuple[int, ...] | str]) -> list[tuple[str, tuple[int, ...]]]:
    """Name and values of every label, in the order of the file; nothing if they aren't written in a known way."""
    names = {value: name for value, name in found.items() if isinstance(name, str)}
    if len(names) == len(found):
        return [(name, (int(value),)) for value, name in names.items()] if all(re.fullmatch("[0-9]{1,9}", value) for value in names) else []
    pairs = [(name, (value,) if isinstance(value, int) else value) for name, value in found.items() if not isinstance(value, str)]
    return pairs if not names and all(members for _, members in pairs) else []


def _painted_regions(file: Path, content: DatasetJson, regions: Sequence[tuple[str, tuple[int, ...]]]) -> dict[str, tuple[int, ...]]:
    """Region name to its values, the one that it's painted with first."""
    order = content.regions_class_order or ()
    fits = len(set(order)) == len(order) == len(regions)
    if not fits or any(0 in members or value not in members for value, (_, members) in zip(order, regions)):
        raise DataError(
            f"{file}: regions_class_order: found {json.dumps(content.regions_class_order)}, expected for each of "
            f"{', '.join(name for name, _ in regions)} in this order (labels given as lists are regions) the value that is left of it once "
            'the regions after it are painted over it, for example "regions_class_order": [1, 2, 3] for '
            "whole [1, 2, 3], core [2, 3] and enhancing [3]."
        )
    return {name: (value, *sorted(set(members) - {value})) for value, (name, members) in zip(order, regions)}


def _region_name(value: int, regions: dict[str, tuple[int, ...]]) -> str:
    """The smallest region around a value, if it's painted with the value; else the value itself: names stay unique."""
    smallest = min((name for name, members in regions.items() if value in members), key=lambda name: len(regions[name]))
    return smallest if regions[smallest][0] == value else str(value)
