"""How far two genotypes agree. Imports no framework."""

import collections
import dataclasses

import scipy

from scnas_keras.errors import ConfigError
from scnas_keras.operations.facts import ZERO_GROUP
from scnas_keras.operations.registry import operation
from scnas_keras.spaces.genotype import Genotype


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
        return float(scipy.stats.binom.sf(same - 1, self.edges, min(1.0, self.chance_operations)))


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
    groups = [tuple(ZERO_GROUP if name is None else operation(name).group for name in pair) for pair in pairs]
    return Agreement(len(pairs), _equal(pairs), _equal(groups), _expected(pairs), _expected(groups))


def _operations(genotype: Genotype) -> list[str | None]:
    return [edge.operation for cell in genotype.space.cells for edge in genotype.cells[cell.name]]


def _equal(pairs: list[tuple]) -> float:
    return sum(first == second for first, second in pairs) / len(pairs)


def _expected(pairs: list[tuple]) -> float:
    first, second = (collections.Counter(column) for column in zip(*pairs))
    return sum(first[name] * second[name] for name in first) / len(pairs) ** 2
