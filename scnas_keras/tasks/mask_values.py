"""The classes of pictures' masks where no dataset.json says them: the values that are found, if these can be classes."""

import dataclasses
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TypeVar

import numpy as np
from absl import logging

from scnas_keras.errors import DataError, some_of
from scnas_keras.formats import pictures
from scnas_keras.formats.endings import is_picture
from scnas_keras.formats.volumes import read_label
from scnas_keras.tasks.cases import Case
from scnas_keras.tasks.labels import Labels

MAX_LOOKED_AT = 50
MAX_UNNAMED = 32
"""Classes without names. More of them are rather numbered objects, or shades of a blurred outline."""
MOSTLY = 0.9
"""The share of masks from which on what holds of them is taken to hold of all."""
NUMBERED = 4
"""Counts of objects, of masks in which objects are numbered from 1 to their count; fewer different ones may be classes."""
REMEDY = 'write a dataset.json beside the folders, for example {"channel_names": {"0": "CT"}, "labels": {"background": 0, "tumour": 1}}'
_Read = TypeVar("_Read")


@dataclasses.dataclass(frozen=True)
class _Mask:
    """What is looked at in a mask.

    Attributes:
        path: of its file.
        values: that it holds.
        framed: whether nearly all pixels along its border are foreground.
        colours: of an indexed one number -> colour.
    """

    path: Path
    values: frozenset[int]
    framed: bool
    colours: Mapping[int, tuple[int, int, int]]

    @property
    def numbered(self) -> int | None:
        """The last number if they go from 1 without a gap, 0 without any; else None."""
        foreground = self.values - {0}
        return len(foreground) if foreground == {*range(1, len(foreground) + 1)} else None


def labels_in_masks(root: Path, cases: Sequence[Case], tolerant: bool) -> Labels:
    """The classes that up to `MAX_LOOKED_AT` masks hold.

    Args:
        root: the task's folder.
        cases: all of them.
        tolerant: whether to pass over masks that can't be read, as long as others can.

    Raises:
        DataError: the values can't be classes, or masks disagree about what a number is.
    """
    chosen = [cases[index] for index in np.unique(np.linspace(0, len(cases) - 1, MAX_LOOKED_AT).astype(int))]
    masks = list(readable(lambda case: _look(case.label_file), chosen, tolerant))
    holders = defaultdict(list)
    for mask in masks:
        for value in mask.values:
            holders[value].append(mask.path.name)
    values = sorted(holders)
    looked = "all" if len(chosen) == len(cases) else f"{len(chosen)} that were looked at of"
    where = f"{root}: {looked} {len(cases)} masks hold the values {some_of(list(map(str, values)))}"
    _check_not_objects(where, masks, holders)
    _check_palettes(masks)
    if values[0] == 0 and len(values) == 2:
        found = Labels({0: "background", 1: "foreground"}, label_map={} if values[1] == 1 else {values[1]: 1})
    elif values == list(range(len(values))):
        found = Labels({value: f"class {value}" if value else "background" for value in values})
    else:
        rarest = min(values, key=lambda value: len(holders[value]))
        raise DataError(
            f"{where}, but classes must be 0 (background), 1, 2, ... without a gap, or 0 and one other "
            f"value; {rarest} is the rarest, in {some_of(holders[rarest])}. Renumber "
            f"the masks; or, if a class is only missing from them: {REMEDY}."
        )
    logging.info("%s; taken as %s", where, ", ".join(f"{value} {name}" for value, name in found.names.items()))
    if len(values) == 2 and sum(mask.framed for mask in masks) >= MOSTLY * len(masks):
        remedy = "If they are inverted, write 0 for the background"
        logging.warning("%s: nearly all that lies along the masks' borders is foreground (%d). %s.", root, values[1], remedy)
    return found


def readable(read: Callable[[Case], _Read], cases: Sequence[Case], tolerant: bool) -> Iterator[_Read]:
    """What `read` gives for the cases; if tolerant, without those where it fails, unless it fails for all."""
    failed = []
    for case in cases:
        try:
            yield read(case)
        except DataError as error:
            failed.append(error)
            if not tolerant or len(failed) == len(cases):
                raise


def _look(path: Path) -> _Mask:
    label, _ = read_label(path)
    small = label.dtype == np.uint8  # counting is faster than sorting
    values = np.flatnonzero(np.bincount(label.ravel())) if small else np.unique(label)
    border = np.concatenate([side.ravel() for side in (label[0], label[-1], label[:, 0], label[:, -1])])
    colours = pictures.shown_colours(path) if is_picture(path) else {}
    return _Mask(path, frozenset(values.tolist()), np.count_nonzero(border) > MOSTLY * border.size, colours)


def _check_not_objects(where: str, masks: Sequence[_Mask], holders: Mapping[int, Sequence[str]]) -> None:
    """Refuses masks without foreground, with too many values for classes, or with numbered objects."""
    if [*holders] == [0] or len(holders) > MAX_UNNAMED:
        ((fullest, most),) = Counter(name for names in holders.values() for name in names).most_common(1)
        complaint = "no foreground" if [*holders] == [0] else f"more than {MAX_UNNAMED} classes, {most} of them in {fullest}"
        raise DataError(
            f"{where}: {complaint}. Masks must hold one number per class, not one per object, nor blurred outlines. If they do: {REMEDY}."
        )
    counts = [mask.numbered for mask in masks if mask.numbered != 0]
    different = sorted({count for count in counts if count})
    if len(different) >= NUMBERED and counts.count(None) <= (1 - MOSTLY) * len(counts):
        lasts = some_of(list(map(str, different)))
        raise DataError(
            f"{where}: nearly each holds all numbers from 1 to one of its own ({lasts}), as numbered objects do. Masks must hold one "
            f"number per class. If these are classes: {REMEDY}."
        )


def _check_palettes(masks: Sequence[_Mask]) -> None:
    """Refuses palettes that disagree: a number is a class, and would be another one in each of both masks."""
    numbers, colours = {}, {}
    for mask in masks:
        if len({*mask.colours.values()}) < len(mask.colours):
            continue  # such a palette tells nothing apart
        for number, colour in mask.colours.items():
            for known, key, value in ((numbers, number, colour), (colours, colour, number)):
                there, first = known.setdefault(key, (value, mask.path))
                if there != value:
                    raise DataError(
                        f"{mask.path}: by its palette {key} is {value}, by that of {first} it is {there}. A number must be one class in "
                        "all masks: save them as gray, or with one palette."
                    )
