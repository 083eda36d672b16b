"""Which spaces can be built so far: a description may hold more than layers exist for."""

from collections.abc import Iterable

from scnas_keras.errors import ConfigError
from scnas_keras.operations.facts import DOUBLING
from scnas_keras.spaces.places import PlacedInput
from scnas_keras.spaces.space import SearchSpace


def check_buildable(space: SearchSpace) -> None:
    """Raises ConfigError for a space that asks for a connection which there is no layer for."""
    for problem in _missing(space):
        raise ConfigError(f"Search space {space.name!r} can be described, but its networks can't be built yet: {problem}.")


def _missing(space: SearchSpace) -> Iterable[str]:
    if any(stem.level for stem in space.stems):
        yield "stems with a stride have no layer"
    first, *others = space.head.sources
    if others or space.levels[first]:
        yield "the output reads one cell at full resolution"
    for cell in space.placed:
        for own in cell.inputs:
            yield from (f"{cell.name}: {problem}" for problem in _of_input(own))
        if any(edge.role == DOUBLING for edge in cell.edges):
            yield f"{cell.name}: edges that double have no layer"


def _of_input(own: PlacedInput) -> Iterable[str]:
    if own.join == "weighted":
        yield "sums weighted by alpha"
    if not own.joined_first:
        yield f"an input that joins the levels {list(own.source_levels)}"
    if -1 in own.shifts and own.halve != "pointwise":
        yield f"halving by {own.halve!r}"
    if 1 in own.shifts and own.double != "nearest":
        yield f"doubling by {own.double!r}"
