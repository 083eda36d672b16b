"""What layouts share: dataset.json with its names of channels and labels, and checks of the cases found."""

import dataclasses
import json
import os
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

from msgspec import Meta

from scnas_keras.documents import decode, parse
from scnas_keras.documents.ranges import Index, Name
from scnas_keras.errors import DataError, some_of
from scnas_keras.formats.foreign import told_absent
from scnas_keras.tasks.cases import Case
from scnas_keras.tasks.nearest import closed_folder, nearest
from scnas_keras.tasks.spellings import usual

_EXAMPLES = {
    "modality": '"modality": {"0": "FLAIR", "1": "T1w"}',
    "labels": '"labels": {"0": "background", "1": "tumour"}',
    "training": '"training": [{"image": "./imagesTr/a.nii.gz", "label": "./labelsTr/a.nii.gz"}, ...]',
    "file_ending": '"file_ending": ".nii.gz"',
}


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
    remedy = "Fix this place, or download the file again."
    content = decode(usual(parse(file, remedy)), DatasetJson, file, remedy, other_keys=True)
    for first, second in (("training", "dataset"), ("modality", "channel_names")):
        one, other = getattr(content, first), getattr(content, second)
        if one and other and one != other:
            raise DataError(f'{file}: "{first}" and "{second}" say different things, and one of them is enough. Take out the wrong one.')
    return content


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


def check_cases(file: Path, cases: Sequence[Case]) -> tuple[Case, ...]:
    """The cases sorted by name; DataError if names or files make no cases, or a file is missing."""
    repeated = [name for name, count in Counter(case.name for case in cases).items() if count > 1]
    if repeated:
        raise DataError(
            f"{file}: {len(repeated)} case names occur more than once: {some_of(repeated)}. Every label file "
            "needs a name of its own; rename the files or take out the repeated entries."
        )
    unusable = [case.name for case in cases if Path(case.name).name != case.name]
    if unusable:
        raise DataError(f"{file}: {len(unusable)} names of cases can't name a file: {some_of(unusable)}. Rename them.")
    undecodable = [ascii(str(path)) for case in cases for path in case.files if not is_text(str(path))]
    if undecodable:
        raise DataError(
            f"{ascii(str(file))}: {len(undecodable)} names of files aren't text in UTF-8: {some_of(undecodable)}. Rename them; convmv does "
            "so for names from older systems."
        )
    shared = [str(path) for path, count in Counter(path for case in cases for path in set(case.files)).items() if count > 1]
    if shared:
        raise DataError(f"{file}: {len(shared)} files belong to more than one case: {some_of(shared)}. Give each case files of its own.")
    missing = [path for case in cases for path in case.files if not os.path.exists(path)]  # unlike Path's, for any text
    if missing:
        if closed := closed_folder(missing[0]):
            raise DataError(
                f"{file}: whether {len(missing)} of the files that it lists are there can't be told, the first being {missing[0]}: "
                f"{closed} may not be looked into. Ask for the right to read it."
            )
        unset = " Set the environment variables in these paths." if any("$" in str(path) for path in missing) else ""
        raise DataError(
            f"{file}: {len(missing)} of the files that it lists are missing: {some_of([str(path) for path in missing])}."
            f"{_why_absent(missing[0])}{unset} Unpack the download again, or correct these entries."
        )
    return tuple(sorted(cases, key=lambda case: case.name))


def _why_absent(path: Path) -> str:
    link = told_absent(path)
    return f" The first is {link}" if link else nearest(path)


def is_text(name: str) -> bool:
    """Whether a name can be written in UTF-8; those of other systems may hold bytes that can't."""
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True
