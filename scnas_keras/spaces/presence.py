"""How much of every operation there is on an edge, on average, in the networks that alpha describes."""

from collections.abc import Mapping

import numpy as np

from scnas_keras.operations.registry import operation
from scnas_keras.spaces.derive import ABSENT, Alpha, chosen_operations, softmax
from scnas_keras.spaces.description import ARGMAX
from scnas_keras.spaces.places import Group
from scnas_keras.spaces.space import SearchSpace

Shares = Mapping[Group, np.ndarray]
"""Group -> the share of each candidate on each edge, [edges, candidates], none of zero: what is missing of 1 is the edge's absence."""


def zero_mask(space: SearchSpace, table: str) -> np.ndarray:
    """Whether each candidate of a table is the absent edge."""
    return np.array([operation(name).is_zero for name in space.table(table).candidates])


def kept_edges(space: SearchSpace, alpha: Alpha) -> dict[Group, np.ndarray]:
    """Whether an edge can be there at all: all of them where each decides for itself, else those that alpha would keep now."""
    if space.derivation == ARGMAX:
        return {group: np.ones(len(group.edges), bool) for group in space.groups}
    chosen, _ = chosen_operations(space, alpha)
    return {group: chosen[group.kind][list(group.edges)] != ABSENT for group in space.groups}


def edge_shares(space: SearchSpace, alpha: Alpha) -> Shares:
    """What there is on every edge, by group.

    Where each edge decides for itself, operations have their probabilities and `zero` is the edge's absence. Where a node keeps its
    strongest edges, those that alpha would keep now are there, and `zero` is no choice.
    """
    probabilities, kept, found = softmax(alpha), kept_edges(space, alpha), {}
    for group in space.groups:
        share = np.where(zero_mask(space, group.table), 0.0, probabilities[group.table][list(group.rows)])
        if space.derivation != ARGMAX:
            share = share / share.sum(axis=1, keepdims=True)
        found[group] = share * kept[group][:, None]
    return found


def derived_shares(space: SearchSpace, alpha: Alpha, max_identity_edges: int | None = None) -> Shares:
    """The same for the one network that `derive` gives."""
    chosen, _ = chosen_operations(space, alpha, max_identity_edges)
    found = {}
    for group in space.groups:
        own = chosen[group.kind][list(group.edges)]
        found[group] = np.eye(len(space.table(group.table).candidates))[own] * (own != ABSENT)[:, None]
    return found
