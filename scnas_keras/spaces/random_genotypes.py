"""Genotypes of noise, to compare a found one with: any of the space, or those that cost as much."""

import dataclasses
from collections.abc import Mapping

import numpy as np

from scnas_keras.errors import ConfigError
from scnas_keras.spaces.cost import CostTables
from scnas_keras.spaces.derive import derive, softmax
from scnas_keras.spaces.genotype import Edge, Genotype
from scnas_keras.spaces.presence import zero_mask
from scnas_keras.spaces.space import SearchSpace

WITHIN = 0.1
"""How far the multiply-adds of a matched genotype may be from those wanted, as a share."""
_AIMS = (1.0, 1 - WITHIN / 2, 1 + WITHIN / 2)
"""Means to draw around, as shares of what is wanted: no other network costs as much as the dearest, or as little as the cheapest."""
_DRAWS_EACH, _TO_MEASURE, _HALVINGS, _STEEPEST = 20, 16, 16, 512.0


def random_genotype(
    space: SearchSpace, seed: int, index: int, max_identity_edges: int | None = None, preference: Mapping[str, np.ndarray] | None = None
) -> Genotype:
    """A genotype with a randomly drawn operation on every edge, a function of (seed, index).

    It is derived from an alpha of noise by the space's rule, so that nodes without input are restored, and identities capped, as in a
    found genotype.

    Args:
        space: the search space.
        seed, index: of the noise.
        max_identity_edges: as in `derive`.
        preference: table -> [rows, candidates], log odds of the operations; by default all are as likely.
    """
    rng = np.random.default_rng(np.random.SeedSequence([seed, index]))
    odds = preference or {table.name: np.zeros((table.rows, len(table.candidates))) for table in space.tables}
    noise = {table.name: rng.gumbel(size=(table.rows, len(table.candidates))) for table in space.tables}
    drawn = derive(space, {name: odds[name] + noise[name] for name in odds}, max_identity_edges)  # argmax: a draw from softmax(odds)
    chances = softmax(odds)
    cells = {
        cell.name: tuple(
            dataclasses.replace(edge, probability=_chance(space, edge, own.table, chances[own.table][own.row]))
            for edge, own in zip(drawn.cells[cell.name], cell.edges)
        )
        for cell in space.cells
    }
    return dataclasses.replace(drawn, cells=cells)


def matched_genotypes(tables: CostTables, found: Genotype, count: int, seed: int, max_identity_edges: int | None = None) -> list[Genotype]:
    """Random genotypes whose multiply-adds are within 10 % of a found one's, all different from it and each other.

    Uniform ones hardly ever reach the cost of a network of convolutions. Here an operation's log odds are its multiply-adds times a
    factor, under which two genotypes of equal cost are equally likely; the factor that brings the mean to what is wanted is found by
    halving an interval.

    Args:
        tables: of the space, at the width and patch that count.
        found: what they are compared with.
        count: of genotypes.
        seed: of all draws.
        max_identity_edges: as in `derive`.

    Raises:
        ConfigError: the space has fewer such networks, as far as 60 draws for each wanted one show.
    """
    slopes, multiply_adds = cost_slopes(tables), tables.of_genotype(found).multiply_adds

    def draw(factor: float, index: int) -> Genotype:
        preference = {name: factor * slope for name, slope in slopes.items()}
        return random_genotype(tables.space, seed, index, max_identity_edges, preference)

    def mean(factor: float) -> float:
        return float(np.mean([tables.of_genotype(draw(factor, index)).multiply_adds for index in range(_TO_MEASURE)]))

    def factor_for(aim: float) -> float:
        low, high = -_STEEPEST, _STEEPEST
        for _ in range(_HALVINGS):
            factor = (low + high) / 2
            low, high = (factor, high) if mean(factor) < aim else (low, factor)
        return (low + high) / 2

    matched: dict[tuple, Genotype] = {}
    for share in _AIMS:
        if len(matched) == count:
            break
        factor = factor_for(share * multiply_adds)
        for index in range(_DRAWS_EACH * count):
            if len(matched) == count:
                break
            genotype = draw(factor, index)
            alike = abs(tables.of_genotype(genotype).multiply_adds / multiply_adds - 1) <= WITHIN
            if alike and _operations(genotype) != _operations(found):
                matched.setdefault(_operations(genotype), genotype)
    if len(matched) < count:
        raise ConfigError(
            f"Only {len(matched)} of {count} random networks of search space {tables.space.name!r} were found that cost "
            f"{multiply_adds / 1e9:.3g} G multiply-adds, give or take {WITHIN:.0%}: there is too little to compare with."
        )
    return list(matched.values())


def cost_slopes(tables: CostTables) -> dict[str, np.ndarray]:
    """Table -> [rows, candidates]: multiply-adds of an operation in all cells that read the row, as a share of the dearest one's."""
    slopes = {table.name: np.zeros((table.rows, len(table.candidates))) for table in tables.space.tables}
    for group, costs in tables.of_groups.items():
        np.add.at(slopes[group.table], list(group.rows), costs[..., 1])
    dearest = max(slope.max() for slope in slopes.values())
    return {name: slope / dearest for name, slope in slopes.items()}


def _operations(genotype: Genotype) -> tuple:
    edges = tuple(edge.operation for own in genotype.cells.values() for edge in own)
    return edges, tuple(path.source for own in genotype.paths.values() for path in own)


def _chance(space: SearchSpace, edge: Edge, table: str, chances: np.ndarray) -> float:
    """Of an edge's operation in a draw; of an absence, that of zero."""
    of = zero_mask(space, table) if edge.operation is None else np.array(space.table(table).candidates) == edge.operation
    return round(float(chances[of].sum()), 6)
