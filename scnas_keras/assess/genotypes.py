"""Genotypes to compare a found one with, and how far two agree. Imports no framework."""

import collections
import dataclasses

import numpy as np
from scipy import stats

from scnas_keras.errors import ConfigError
from scnas_keras.spaces.genotype import Genotype
from scnas_keras.spaces.operations import OPERATIONS
from scnas_keras.spaces.space import SearchSpace
from scnas_keras.supernet.derive import derive


def random_genotype(space: SearchSpace, seed: int, index: int, max_identity_edges: int | None = None) -> Genotype:
    """A genotype with a uniformly drawn operation on every edge, a function of (seed, index).

    It is derived from logits of noise, so that nodes without input are restored, and identities capped, as in a found genotype.
    """
    shape = (len(space.kinds), len(space.edges), len(space.operations))
    noise = np.random.default_rng(np.random.SeedSequence([seed, index])).normal(size=shape)
    drawn = derive(space, noise, max_identity_edges)
    chance = round(1 / len(space.operations), 6)
    cells = {kind: tuple(dataclasses.replace(edge, probability=chance) for edge in edges) for kind, edges in drawn.cells.items()}
    return Genotype(space, cells, drawn.notes)


@dataclasses.dataclass(frozen=True)
class Agreement:
    """How far two genotypes agree.

    What chance would give follows from how often each of the two uses each operation (as in Cohen's kappa): two searches
    that prefer convolutions everywhere agree often without agreeing on any edge in particular.

    Attributes:
        edges: compared edges of all cell kinds.
        operations: share of them with the same operation.
        groups: share with an operation of the same group (conv, dilated, pool, identity, zero).
        chance_operations, chance_groups: what chance would give.
    """

    edges: int
    operations: float
    groups: float
    chance_operations: float
    chance_groups: float

    @property
    def probability(self) -> float:
        """Of at least as many equal operations by chance (binomial)."""
        same = round(self.operations * self.edges)
        return float(stats.binom.sf(same - 1, self.edges, min(1.0, self.chance_operations)))


def agreement(first: Genotype, second: Genotype) -> Agreement:
    """Compares two genotypes edge by edge.

    Raises:
        ConfigError: they are of different search spaces.
    """
    if first.space != second.space:
        raise ConfigError(
            f"Genotypes of the spaces {first.space.name!r} and {second.space.name!r} have different edges and "
            "can't be compared: name searches of one space."
        )
    pairs = list(zip(_operations(first), _operations(second)))
    groups = [tuple(OPERATIONS[operation].group for operation in pair) for pair in pairs]
    return Agreement(len(pairs), _equal(pairs), _equal(groups), _expected(pairs), _expected(groups))


def _operations(genotype: Genotype) -> list[str]:
    return [edge.operation for kind in genotype.space.kinds for edge in genotype.cells[kind]]


def _equal(pairs: list[tuple[str, str]]) -> float:
    return sum(first == second for first, second in pairs) / len(pairs)


def _expected(pairs: list[tuple[str, str]]) -> float:
    first, second = (collections.Counter(column) for column in zip(*pairs))
    return sum(first[name] * second[name] for name in first) / len(pairs) ** 2
