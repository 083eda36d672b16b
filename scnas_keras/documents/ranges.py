"""The numbers of documents with their units and ranges, and what must hold of several of them together."""

from collections.abc import Hashable, Iterable, Mapping, Sequence
from typing import Annotated

from msgspec import Meta

from scnas_keras.documents.reading import Misfit

Spacing = Annotated[float, Meta(ge=1e-6, le=1e4)]
"""mm; beyond these a file is damaged or has another unit."""
Size = Annotated[int, Meta(ge=1, le=10**6)]
"""Voxels of a scan along an axis."""
PatchSize = Annotated[int, Meta(ge=1, le=10**4)]
"""Voxels of a patch along an axis."""
Axis = Annotated[int, Meta(ge=0, le=2)]
Index = Annotated[int, Meta(ge=0, le=10**4)]
"""Number of a channel."""
Count = Annotated[int, Meta(ge=1, le=10**9)]
Counter = Annotated[int, Meta(ge=0, le=10**18)]
"""Of epochs, steps or draws."""
Seconds = Annotated[float, Meta(ge=0, le=1e12)]
Reached = Annotated[float, Meta(le=1)]
"""A Dice, or minus infinity before there is one; never nan."""
Share = Annotated[float, Meta(ge=0, le=1)]
Positive = Annotated[float, Meta(gt=0, le=1e6)]
LabelValue = Annotated[int, Meta(ge=0, le=255)]
Name = Annotated[str, Meta(min_length=1, pattern=r"^[^\x00-\x1f]*\Z")]
"""Without control characters: messages show it on one line."""
Labels = Mapping[Name, LabelValue | tuple[LabelValue, ...]]
"""Class name to its value, or to its values where classes are regions."""


def check_permutation(place: str, axes: Sequence[int]) -> None:
    """Misfit unless these are the axes 0, 1 and 2 in some order."""
    if sorted(axes) != [0, 1, 2]:
        raise Misfit(place, axes, "0, 1 and 2 in some order")


def check_different(place: str, items: Sequence[Hashable]) -> None:
    """Misfit if something stands twice in a list."""
    if len(set(items)) < len(items):
        raise Misfit(place, items, "each only once")


def check_axes(place: str, axes: Sequence[int], rank: int) -> None:
    """Misfit if one of these isn't an axis of a patch with `rank` of them."""
    for index, axis in enumerate(axes):
        if axis >= rank:
            raise Misfit(f"{place}[{index}]", axis, f"an axis of the patch, 0 to {rank - 1}")


def check_consecutive(place: str, values: Iterable[int], found: object) -> None:
    """Misfit unless these are the values of at least two classes, 0, 1, 2, ... without a gap.

    Args:
        place: of the labels.
        values: of the classes, some of them perhaps several times.
        found: the labels, for the message.
    """
    values = sorted(set(values))
    if len(values) < 2 or values != list(range(len(values))):
        raise Misfit(place, found, "at least 2 labels, with the values 0 (background), 1, 2, ... without a gap")


def check_labels(place: str, labels: Labels) -> None:
    """Misfit unless the labels' values are consecutive, and no two classes that aren't regions share one."""
    check_consecutive(place, [one for value in labels.values() for one in _members(value)], labels)
    if all(isinstance(value, int) for value in labels.values()):
        check_different(place, list(labels.values()))


def _members(value: int | tuple[int, ...]) -> tuple[int, ...]:
    return (value,) if isinstance(value, int) else tuple(value)
