"""Which spaces can be built so far: a description may hold more than layers exist for."""

from collections.abc import Iterable

from scnas_keras.errors import ConfigError
from scnas_keras.spaces.description import MAX_POOL, NEAREST, POINTWISE, TRANSPOSED
from scnas_keras.spaces.places import PlacedInput
from scnas_keras.spaces.space import SearchSpace


def check_buildable(space: SearchSpace) -> None:
    """Raises ConfigError for a space that asks for a connection which there is no layer for."""
    for problem in _missing(space):
        raise ConfigError(f"Search space {space.name!r} can be described, but its networks can't be built yet: {problem}.")


def _missing(space: SearchSpace) -> Iterable[str]:
    if any(stem.level > 1 for stem in space.stems):
        yield "stems that halve more than once have no layer"
    if len(space.head.sources) > 1:
        yield "the output reads one cell"
    if min(space.levels[source] for source in space.head.sources) > 0 and space.head.auxiliary:
        yield "an output at a coarser level has no others beside it"
    for cell in space.placed:
        for own in cell.inputs:
            yield from (f"{cell.name}: {problem}" for problem in _of_input(own))


def _of_input(own: PlacedInput) -> Iterable[str]:
    if own.join == "weighted":
        yield "sums weighted by alpha"
    if min(own.shifts) < 0 and own.halve not in (POINTWISE, MAX_POOL):
        yield f"halving by {own.halve!r}"
    if max(own.shifts) > 0 and own.double not in (NEAREST, TRANSPOSED):
        yield f"doubling by {own.double!r}"
