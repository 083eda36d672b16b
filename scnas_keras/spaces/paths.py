"""What a network keeps of weighted sums: one source of each, by its paths."""

from collections.abc import Mapping, Sequence
from typing import Protocol

from scnas_keras.spaces.places import PlacedInput
from scnas_keras.spaces.space import SearchSpace


class Kept(Protocol):
    """A source that a row of a table of paths keeps, by number."""

    @property
    def source(self) -> int: ...


Paths = Mapping[str, Sequence[Kept]]
"""Table of paths -> what each of its rows keeps."""


def kept_sources(paths: Paths, own: PlacedInput) -> list[int]:
    """Which of an input's sources a network joins, by number within the input."""
    return list(range(len(own.sources))) if own.weights is None else [paths[own.weights[0]][own.weights[1]].source]


def dropped_outputs(space: SearchSpace, paths: Paths) -> tuple[int, ...]:
    """Outputs that no weighted sum kept; what merely leads nowhere because its readers' edges are absent isn't listed."""
    needed = set(space.head.sources)
    for cell in reversed(space.placed):
        if cell.number in needed:
            needed |= {own.sources[kept] for own in cell.inputs for kept in kept_sources(paths, own)}
    return tuple(cell.number for cell in space.placed if cell.number not in needed) if paths else ()
