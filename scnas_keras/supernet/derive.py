"""From architecture logits to a genotype."""

import numpy as np

from scnas_keras.spaces.genotype import Edge, Genotype
from scnas_keras.spaces.operations import ZERO
from scnas_keras.spaces.space import SearchSpace


def derive(space: SearchSpace, logits: np.ndarray) -> Genotype:
    """Keeps the most probable operation of every edge (SCNAS section 2.2).

    `zero` removes the edge. A node that would be left without any input keeps instead, of its edges' operations other
    than zero, the most probable one; the genotype's notes say so.

    Args:
        space: the search space.
        logits: [kinds, edges, operations], in the order of the space.
    """
    shifted = np.exp(logits - np.max(logits, axis=-1, keepdims=True, initial=-np.inf))
    probabilities = shifted / shifted.sum(axis=-1, keepdims=True)
    cells, notes = {}, []
    for kind, table in zip(space.kinds, probabilities, strict=True):
        chosen = table.argmax(axis=-1)
        for node in sorted({target for _, target in space.edges}):
            incoming = [e for e, (_, target) in enumerate(space.edges) if target == node]
            restored = _restore(space, table, chosen, incoming)
            if restored is not None:
                source, operation = space.edges[restored][0], space.operations[chosen[restored]]
                notes.append(f"{kind}: all edges into node {node} were zero; restored {source}->{node} as {operation}.")
        cells[kind] = tuple(
            Edge(source, target, space.operations[chosen[e]], round(float(table[e, chosen[e]]), 6))
            for e, (source, target) in enumerate(space.edges)
        )
    return Genotype(space, cells, tuple(notes))


def _restore(space: SearchSpace, table: np.ndarray, chosen: np.ndarray, incoming: list[int]) -> int | None:
    """If all incoming edges are zero: changes `chosen` at the best one and returns it."""
    zero = space.operations.index(ZERO) if ZERO in space.operations else -1
    if any(chosen[e] != zero for e in incoming):
        return None
    candidates = table[incoming].copy()
    candidates[:, zero] = -1
    row, operation = np.unravel_index(candidates.argmax(), candidates.shape)
    chosen[incoming[row]] = operation
    return incoming[row]
