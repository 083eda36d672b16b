"""Which cells a genotype's network has, and which of their inputs are read: what leads nowhere isn't built."""

from scnas_keras.spaces.genotype import Genotype
from scnas_keras.spaces.paths import kept_sources


def built_cells(genotype: Genotype) -> dict[int, tuple[int, ...]]:
    """Number of a cell's output -> the inputs that its edges read, for every cell that the head needs, last one first."""
    needed, found = set(genotype.space.head.sources), {}
    for cell in reversed(genotype.space.placed):
        if cell.number in needed:
            read = {edge.source for edge in genotype.present(cell.kind)}
            found[cell.number] = tuple(i for i in range(len(cell.inputs)) if i in read)
            needed |= {cell.inputs[i].sources[s] for i in found[cell.number] for s in kept_sources(genotype.paths, cell.inputs[i])}
    return found
