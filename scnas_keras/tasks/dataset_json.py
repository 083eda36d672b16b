"""What layouts share: dataset.json with its names of channels and labels, and checks of the cases found."""

import dataclasses
import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from scnas_keras.errors import DataError
from scnas_keras.tasks.cases import Case

IGNORE = "ignore"
MAX_LABELS = 256
_EXAMPLES = {
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


def read_json(file: Path) -> dict:
    """The JSON object in a file; DataError names the place of what is broken."""
    try:
        content = json.loads(file.read_text(encoding="utf-8-sig"))
    except json.JSONDecodeError as error:
        raise DataError(
            f"{file}: broken JSON in line {error.lineno}, column {error.colno}: {error.msg}. Mend this place, or download the file again."
        ) from error
    except UnicodeDecodeError as error:
        raise DataError(f"{file}: not a text file in UTF-8 ({error}). Download the file again.") from error
    if not isinstance(content, dict):
        raise DataError(f"{file}: expected a JSON object {{...}}, found {type(content).__name__}.")
    return content


def entry(file: Path, content: dict, key: str) -> object:
    """What stands under a key; DataError gives an example where it's missing."""
    if key not in content:
        raise DataError(
            f'{file}: the key "{key}" is missing (found: {", ".join(content) or "nothing"}). Add it, for example {_EXAMPLES[key]}.'
        )
    return content[key]


def channel_names(file: Path, content: dict) -> tuple[str, ...]:
    """Names of the image channels, from "modality" (MSD) or "channel_names" (nnU-Net)."""
    names = content.get("modality", content.get("channel_names"))
    try:
        by_index = {int(index): str(name) for index, name in names.items()}
    except (AttributeError, ValueError):
        by_index = {}
    if not by_index or sorted(by_index) != list(range(len(by_index))):
        raise DataError(
            f'{file}: the image channels must be named under "modality" (or "channel_names"), numbered '
            f'from 0, for example "modality": {{"0": "FLAIR", "1": "T1w"}}; found {json.dumps(names)}.'
        )
    return tuple(by_index[index] for index in range(len(by_index)))


def parse_labels(file: Path, content: dict, binary_255: bool = False) -> Labels:
    """Reads "labels": {"1": "edema"} (MSD) or {"edema": 1} (nnU-Net), with regions and an ignore label if there are.

    Args:
        file: dataset.json, for errors.
        content: what it holds.
        binary_255: whether the foreground of two classes may be 255, as in pictures.
    """
    found = entry(file, content, "labels")
    pairs = _pairs(found)
    regions = any(isinstance(value, list) for value in found.values()) if pairs else False
    ignored = [values for name, values in pairs if name == IGNORE]
    pairs = [(name, values) for name, values in pairs if name != IGNORE]
    values = sorted({value for _, members in pairs for value in members})
    label_map = {}
    if binary_255 and not regions and values == [0, 255]:
        pairs, values, label_map = [(name, (min(members[0], 1),)) for name, members in pairs], [0, 1], {255: 1}
    named_twice = len(pairs) > len(values) and not regions
    if not 2 <= len(values) <= MAX_LABELS or values != list(range(len(values))) or named_twice:
        raise DataError(
            f'{file}: "labels" must name the values 0 (background), 1, 2, ... up to at most '
            f'{MAX_LABELS - 1} without a gap, for example {{"0": "background", "1": "tumour"}}; found '
            f"{json.dumps(found)}. "
            "Renumber the labels here and in the label files; where these are NIfTI, python -m "
            "scnas_keras.verify --fix=remap --fixed_dir=NEW writes a copy with both renumbered."
        )
    if ignored and ignored != [(len(values),)]:
        raise DataError(
            f'{file}: the label "{IGNORE}" must have the highest value, here {len(values)}; found '
            f"{json.dumps(found)}. Renumber it here and in the label files."
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
    missing = [str(path) for case in cases for path in case.files if not path.exists()]
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


def _pairs(found: object) -> list[tuple[str, tuple[int, ...]]]:
    """Name and values of every label, in the order of the file; nothing if they aren't written in a known way."""
    if not isinstance(found, dict):
        return []
    if all(isinstance(value, str) for value in found.values()):
        return [(name, (int(value),)) for value, name in found.items()] if all(key.isdecimal() for key in found) else []
    pairs = [(name, tuple(value) if isinstance(value, list) else (value,)) for name, value in found.items()]
    return pairs if all(members and all(type(value) is int for value in members) for _, members in pairs) else []


def _painted_regions(file: Path, content: dict, regions: Sequence[tuple[str, tuple[int, ...]]]) -> dict[str, tuple[int, ...]]:
    """Region name to its values, the one that it's painted with first."""
    order = content.get("regions_class_order")
    fits = isinstance(order, list) and len(order) == len(regions) and len(set(map(str, order))) == len(order)
    if not fits or any(0 in members or value not in members for value, (_, members) in zip(order, regions)):
        raise DataError(
            f'{file}: labels given as lists are regions, which need "regions_class_order": for each of '
            f"{', '.join(name for name, _ in regions)} in this order, the value that is left of it once "
            'the regions after it are painted over it, for example "regions_class_order": [1, 2, 3] for '
            "whole [1, 2, 3], core [2, 3] and "
            f"enhancing [3]; found {json.dumps(order)}."
        )
    return {name: (value, *sorted(set(members) - {value})) for value, (name, members) in zip(order, regions)}


def _region_name(value: int, regions: dict[str, tuple[int, ...]]) -> str:
    """The smallest region around a value, if it's painted with the value; else the value itself: names stay unique."""
    smallest = min((name for name, members in regions.items() if value in members), key=lambda name: len(regions[name]))
    return smallest if regions[smallest][0] == value else str(value)
