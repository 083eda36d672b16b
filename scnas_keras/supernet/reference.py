"""The supernet by TensorFlow's automatic differentiation: what tests and benchmarks compare the engine with."""

from collections.abc import Sequence

import tensorflow as tf

from scnas_keras.supernet.supernet import Supernet


def plain_forward(supernet: Supernet, images: tf.Tensor, operations: Sequence[Sequence[Sequence[int]]], weights: tf.Tensor) -> tf.Tensor:
    """Logits [batch, *space, classes] as `Supernet.forward` gives them, with every operation inlined where it is used.

    Args:
        supernet: whose weights are used.
        images: [batch, *space, channels].
        operations: [kinds][edges][k], known when the graph is made.
        weights: [kinds, edges, k].
    """
    outputs = [supernet.stem(images)]
    for cell in supernet.cells:
        kind = supernet.space.kinds.index(cell.plan.kind)
        two_back, previous = (outputs[i] for i in cell.plan.inputs)
        if cell.plan.skip is not None:
            previous = previous + outputs[cell.plan.skip]
        nodes = [align(x) for align, x in zip(cell.aligns, (two_back, previous))]
        parameters, terms = cell.edge_parameters(), {}
        for e, (source, target) in enumerate(supernet.space.edges):
            mixture = cell.mixtures[cell.plan.stride((source, target))]
            for i, weight in zip(operations[kind][e], tf.unstack(weights[kind, e])):
                terms.setdefault(target, []).append(weight * mixture.run(i, nodes[source], parameters[e]))
            if (source, target) == max(edge for edge in supernet.space.edges if edge[1] == target):
                nodes.append(tf.add_n(terms[target]))
        outputs.append(tf.concat(nodes[2:], axis=-1))
    return supernet.out(outputs[-1])
