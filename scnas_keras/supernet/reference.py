"""The supernet by its equations and TensorFlow's automatic differentiation: what tests and benchmarks compare the engine with."""

from collections.abc import Sequence

import tensorflow as tf

from scnas_keras.supernet.relaxation import Draw
from scnas_keras.supernet.supernet import Supernet


def reference_forward(supernet: Supernet, images: tf.Tensor, draws: Sequence[Draw]) -> tf.Tensor:
    """Logits [batch, *space, classes] as `Supernet.forward` gives them, with every operation inlined where it is used.

    Args:
        supernet: whose weights are used.
        images: [batch, *space, channels].
        draws: for each bank, operations [rows][k], known when the graph is made, and weights [rows, k].
    """
    outputs = [stem(images) for stem in supernet.stems]
    for cell in supernet.cells:
        inputs = []
        for own in cell.placed.inputs:
            for part in own.alignments:
                sources = [outputs[source] for source in part.sources]
                inputs.append(tf.concat(sources, axis=-1) if own.join == "concat" else tf.add_n(sources))
        places = [supernet.banks.place_of(edge) for edge in cell.placed.edges]
        outputs.append(cell.call(inputs, [Draw(draws[bank].operations[row], draws[bank].weights[row]) for bank, row in places]))
    (last,) = supernet.space.head.sources
    return supernet.doubled(supernet.out(outputs[last]))
