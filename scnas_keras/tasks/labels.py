"""The "labels" of a dataset.json: classes, regions, and what isn't annotated."""

import dataclasses
import json
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

from scnas_keras.documents.reading import shown
from scnas_keras.errors import DataError
from scnas_keras.tasks.dataset_json import DatasetJson, missing_entry

IGNORE, BACKGROUND = "ignore", "background"
MAX_LABELS = 256
_REMEDIES = {
    "spelling": 'Write them all in one way: {"0": "background", "1": "tumour"}, or {"background": 0, "tumour": 1}.',
    "background": 'Add "0": "background" (or "background": 0), which is what label files hold where no class is.',
    "alone": "Name the classes as well.",
    "twice": "Give each value one name.",
    "regions": "Renumber the labels here and in the label files.",
    "gap": "Renumber the labels here and in the label files: scnas verify --fix=remap --fixed_dir=NEW writes a copy with both renumbered.",
}


@dataclasses.dataclass(frozen=True)
class Labels:
    """The "labels" of a dataset.json; see `scnas_keras.tasks.cases.Task` for the attributes."""

    names: dict[int, str]
    regions: dict[str, tuple[int, ...]] = dataclasses.field(default_factory=dict)
    ignore_label: int | None = None
    label_map: dict[int, int] = dataclasses.field(default_factory=dict)


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
    pairs = label_pairs(found)
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
            f"{file}: labels: found {shown(found)}, expected names for the values 0 (background), 1, 2, ... up to at most "
            f'{MAX_LABELS - 1} without a gap, for example {{"0": "background", "1": "tumour"}}. {_remedy(values, regions, named_twice)}'
        )
    _check_names(file, pairs)
    if ignored and ignored != [(len(values),)]:
        raise DataError(
            f"{file}: labels.{IGNORE}: found {json.dumps(ignored[0])[1:-1]}, expected the highest value, here {len(values)}. "
            f"{_REMEDIES['regions' if regions else 'gap']}"
        )
    ignore_label = len(values) if ignored else None
    if not regions:
        names = {members[0]: name for name, members in sorted(pairs, key=lambda pair: pair[1])}
        return Labels(names, {}, ignore_label, label_map)
    painted = _painted_regions(file, content, [(name, members) for name, members in pairs if members != (0,)])
    background = next((name for name, members in pairs if members == (0,)), BACKGROUND)
    names = {value: _region_name(value, painted) if value else background for value in values}
    return Labels(names, painted, ignore_label)


def _check_names(file: Path, pairs: Sequence[tuple[str, tuple[int, ...]]]) -> None:
    """Refuses a name of two values, and a background that isn't 0."""
    for name, count in Counter(name for name, _ in pairs).items():
        members = [value for other, values in pairs if other == name for value in values]
        listed = ", ".join(map(str, members))
        if count > 1:
            raise DataError(
                f'{file}: labels: found the name "{name}" of {count} values, {listed}, expected a name of its own for '
                "each. Correct the names; to unite classes, give them one value here and in the label files."
            )
        if name.casefold() == BACKGROUND and members != [0]:
            raise DataError(
                f'{file}: labels: found "{name}" as the name of {listed}, and the background is always 0. Correct the '
                "names, or exchange the values here and in the label files."
            )


def _remedy(values: Sequence[int], regions: bool, named_twice: bool) -> str:
    """What can be done about values that are no classes."""
    if not values:
        return _REMEDIES["spelling"]
    if 0 not in values:
        return _REMEDIES["background"]
    if len(values) == 1:
        return _REMEDIES["alone"]
    if named_twice:
        return _REMEDIES["twice"]
    if len(values) > MAX_LABELS:
        return f"These are {len(values)} values: unite classes, here and in the label files."
    return _REMEDIES["regions" if regions or values[0] < 0 else "gap"]


def label_pairs(found: Mapping[str, int | Sequence[int] | str]) -> list[tuple[str, tuple[int, ...]]]:
    """Name and values of every label, in the order of the file; nothing if they aren't written in a known way."""
    names = {value: name for value, name in found.items() if isinstance(name, str)}
    if len(names) == len(found):
        return [(name, (int(value),)) for value, name in names.items()] if all(re.fullmatch("[0-9]{1,9}", value) for value in names) else []
    pairs = [(name, (value,) if isinstance(value, int) else tuple(value)) for name, value in found.items() if not isinstance(value, str)]
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
