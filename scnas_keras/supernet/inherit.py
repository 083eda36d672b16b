"""From a supernet to the network of one genotype, with the weights that both share."""

import keras
import numpy as np

from scnas_keras.errors import ConfigError
from scnas_keras.networks import from_genotype
from scnas_keras.networks.derived import groups, operation_name
from scnas_keras.networks.operations import has_weights
from scnas_keras.spaces.genotype import Genotype
from scnas_keras.supernet.cell import MixedCell
from scnas_keras.supernet.supernet import Supernet


def inherit(supernet: Supernet, genotype: Genotype) -> keras.Model:
    """The derived network of a genotype, as wide as the supernet and with the supernet's weights.

    It computes what the supernet computes when every edge runs the genotype's operation with weight one. Its
    normalisations have a learned scale and offset that the supernet's lack; they start at 1 and 0, the same function.

    Raises:
        ConfigError: the genotype is of another search space.
    """
    if genotype.space != supernet.space:
        raise ConfigError(
            f"A genotype of the space {genotype.space.name!r} can't take weights from a supernet of "
            f"{supernet.space.name!r}: give one that was found in the same space."
        )
    network = from_genotype(genotype, supernet.stem.kernel.shape[-2], supernet.num_classes, supernet.stem.channels)
    layers = {layer.name: layer for layer in network.layers}
    layers["stem"].kernel.assign(supernet.stem.kernel)
    for variable, own in zip(layers["logits"].trainable_variables, supernet.out.trainable_variables):
        variable.assign(own)
    for cell in supernet.cells:
        _fill_cell(cell, genotype, layers)
    return network


def _fill_cell(cell: MixedCell, genotype: Genotype, layers: dict[str, keras.Layer]) -> None:
    """Inputs that no edge reads and operations without kernels have no layer, or nothing to fill."""
    for i, align in enumerate(cell.aligns):
        if f"{cell.name}_input_{i}" in layers:
            layers[f"{cell.name}_input_{i}"].kernel.assign(align.kernel)
    wanted = groups(genotype.cells[cell.plan.kind])
    for parameters, edge in zip(cell.edge_parameters(), genotype.cells[cell.plan.kind]):
        layer = layers.get(operation_name(cell.plan, edge.source, edge.operation))
        if layer is None or not has_weights(edge.operation):
            continue
        mixture = cell.mixtures[cell.plan.stride((edge.source, edge.target))]
        own = keras.ops.convert_to_numpy(parameters)[mixture.operation_slice(genotype.space.operations.index(edge.operation))]
        number = wanted[edge.source, edge.operation].index(edge.target)
        for name in layer.kernels(genotype.space.rank, 1):
            whole = keras.ops.convert_to_numpy(getattr(layer, name)).copy()
            part = whole[layer.branch(name, number)]
            values, own = np.split(own, [part.size])
            part[...] = values.reshape(part.shape)
            getattr(layer, name).assign(whole)
