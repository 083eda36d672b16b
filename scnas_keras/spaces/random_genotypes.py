"""Genotypes of noise, to compare a found one with."""

import dataclasses

import numpy as np

from scnas_keras.spaces.derive import derive
from scnas_keras.spaces.genotype import Edge, Genotype
from scnas_keras.spaces.presence import zero_mask
from scnas_keras.spaces.space import SearchSpace


def random_genotype(space: SearchSpace, seed: int, index: int, max_identity_edges: int | None = None) -> Genotype:
    """A genotype with a uniformly drawn operation on every edge, a function of (seed, index).

    It is derived from an alpha of noise by the space's rule, so that nodes without input are restored, and identities capped, as in a
    found genotype.
    """
    rng = np.random.default_rng(np.random.SeedSequence([seed, index]))
    drawn = derive(space, {table.name: rng.normal(size=(table.rows, len(table.candidates))) for table in space.tables}, max_identity_edges)
    cells = {
        cell.name: tuple(
            dataclasses.replace(edge, probability=_chance(space, edge, own.table)) for edge, own in zip(drawn.cells[cell.name], cell.edges)
        )
        for cell in space.cells
    }
    return dataclasses.replace(drawn, cells=cells)


def _chance(space: SearchSpace, edge: Edge, table: str) -> float:
    """Of an edge's operation in a uniform draw; 0 of an absence that isn't drawn."""
    if edge.operation is None and not zero_mask(space, table).any():
        return 0.0
    return round(1 / len(space.table(table).candidates), 6)
