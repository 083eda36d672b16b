"""Which cells a genotype's network has, and which of their inputs are read: what leads nowhere isn't built."""

from collections.abc import Mapping, Sequence

from scnas_keras.spaces.genotype import Genotype
from scnas_keras.spaces.places import PlacedInput


def built_cells(genotype: Genotype) -> dict[int, tuple[int, ...]]:
    """Number of a cell's output -> the inputs that its edges read, for every cell that the head needs, last one first."""
    needed, found = set(genotype.space.head.sources), {}
    for cell in reversed(genotype.space.placed):
        if cell.number in needed:
            read = {edge.source for edge in genotype.present(cell.kind)}
            found[cell.number] = tuple(i for i in range(len(cell.inputs)) if i in read)
            needed |= {cell.inputs[i].sources[s] for i in found[cell.number] for s in kept_sources(genotype.paths, cell.inputs[i])}
    return found


def kept_sources(paths: Mapping[str, Sequence], own: PlacedInput) -> list[int]:
    """Which of an input's sources a network joins, by number within the input; `paths` are a genotype's."""
    return list(range(len(own.sources))) if own.weights is None else [paths[own.weights[0]][own.weights[1]].source]
