"""From architecture logits to a genotype."""

import numpy as np

from scnas_keras.spaces.genotype import Edge, Genotype
from scnas_keras.spaces.operations import IDENTITY, ZERO
from scnas_keras.spaces.space import SearchSpace


def derive(space: SearchSpace, logits: np.ndarray, max_identity_edges: int | None = None) -> Genotype:
    """Keeps the most probable operation of every edge (SCNAS section 2.2).

    `zero` removes the edge. A node that would be left without any input keeps instead, of its edges' operations other
    than zero, the most probable one; the genotype's notes say so.

    Args:
        space: the search space.
        logits: [kinds, edges, operations], in the order of the space.
        max_identity_edges: the most identity edges of a cell kind, or None. Of more, the least probable ones take
            their second most probable operation, and the notes say so (a cap as in DARTS+, Liang et al. 2019).
    """
    probabilities, chosen, notes = _choose(space, logits, max_identity_edges)
    cells = {
        kind: tuple(
            Edge(source, target, space.operations[operation], round(float(row[operation]), 6))
            for (source, target), row, operation in zip(space.edges, table, own)
        )
        for kind, table, own in zip(space.kinds, probabilities, chosen)
    }
    return Genotype(space, cells, tuple(notes))


def derived_operations(space: SearchSpace, logits: np.ndarray, max_identity_edges: int | None = None) -> np.ndarray:
    """The operations of the genotype that `derive` gives, as indices: int [kinds, edges]."""
    return _choose(space, logits, max_identity_edges)[1]


def _choose(space: SearchSpace, logits: np.ndarray, max_identity_edges: int | None) -> tuple[np.ndarray, np.ndarray, list[str]]:
    """Probabilities [kinds, edges, operations], the operations chosen by them [kinds, edges], and notes."""
    logits = np.asarray(logits, np.float64)  # in float32, small differences of logits would become ties
    shifted = np.exp(logits - np.max(logits, axis=-1, keepdims=True, initial=-np.inf))
    probabilities = shifted / shifted.sum(axis=-1, keepdims=True)
    choices, notes = [], []
    for kind, table in zip(space.kinds, probabilities, strict=True):
        chosen = table.argmax(axis=-1)
        if max_identity_edges is not None and IDENTITY in space.operations:
            notes += _cap(space, kind, table, chosen, max_identity_edges)
        for node in sorted({target for _, target in space.edges}):
            incoming = [e for e, (_, target) in enumerate(space.edges) if target == node]
            restored = _restore(space, table, chosen, incoming, max_identity_edges)
            if restored is not None:
                source, operation = space.edges[restored][0], space.operations[chosen[restored]]
                notes.append(f"{kind}: all edges into node {node} were zero; restored {source}->{node} as {operation}.")
        choices.append(chosen)
    return probabilities, np.array(choices), notes


def _cap(space: SearchSpace, kind: str, table: np.ndarray, chosen: np.ndarray, most: int) -> list[str]:
    """Changes `chosen` where there are too many identities; returns a note for each."""
    identity, notes = space.operations.index(IDENTITY), []
    taken = np.flatnonzero(chosen == identity)
    surest_first = taken[np.argsort(-table[taken, identity], kind="stable")]
    for e in sorted(surest_first[most:]):
        others = table[e].copy()
        others[identity] = -1
        chosen[e] = others.argmax()
        source, target = space.edges[e]
        notes.append(f"{kind}: {len(taken)} edges were identity, {most} may be; {source}->{target} became {space.operations[chosen[e]]}.")
    return notes


def _restore(space: SearchSpace, table: np.ndarray, chosen: np.ndarray, incoming: list[int], max_identity_edges: int | None) -> int | None:
    """If all incoming edges are zero: changes `chosen` at the best one and returns it."""
    zero = space.operations.index(ZERO) if ZERO in space.operations else -1
    if any(chosen[e] != zero for e in incoming):
        return None
    candidates = table[incoming].copy()
    candidates[:, zero] = -1
    if max_identity_edges is not None and IDENTITY in space.operations and len(space.operations) > 2:
        identity = space.operations.index(IDENTITY)
        if np.count_nonzero(chosen == identity) >= max_identity_edges:
            candidates[:, identity] = -1
    row, operation = np.unravel_index(candidates.argmax(), candidates.shape)
    chosen[incoming[row]] = operation
    return incoming[row]
