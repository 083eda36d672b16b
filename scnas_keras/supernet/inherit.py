"""From a supernet to the network of one genotype, with the weights that both share."""

import keras
import numpy as np

from scnas_keras.errors import ConfigError
from scnas_keras.networks import from_genotype
from scnas_keras.networks.derived import groups, has_own_layer, operation_name
from scnas_keras.operations.registry import operation
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
    network = from_genotype(genotype, supernet.stems[0].kernel.shape[-2], supernet.num_classes, supernet.stem_channels)
    layers = {layer.name: layer for layer in network.layers}
    for stem in supernet.stems:
        if stem.name in layers:
            layers[stem.name].kernel.assign(stem.kernel)
    for variable, own in zip(layers["logits"].trainable_variables, supernet.out.trainable_variables):
        variable.assign(own)
    for cell in supernet.cells:
        _fill_cell(cell, genotype, layers)
    return network


def _fill_cell(cell: MixedCell, genotype: Genotype, layers: dict[str, keras.Layer]) -> None:
    """Inputs that no edge reads and operations without kernels have no layer, or nothing to fill."""
    for align in cell.aligns:
        if align.name in layers:
            layers[align.name].kernel.assign(align.kernel)
    edges = genotype.cells[cell.placed.kind]
    wanted = groups(edges)
    for number, (parameters, edge) in enumerate(zip(cell.edge_parameters(), edges)):
        if edge.operation is None or not operation(edge.operation).learns:
            continue
        alone = has_own_layer(edge.operation)
        layer = layers.get(operation_name(cell.name, edge.source, edge.operation, edge.target if alone else None))
        if layer is None:
            continue
        mixture = cell.mixture(number)
        own = keras.ops.convert_to_numpy(parameters)[mixture.operation_slice(cell.placed.edges[number].candidates.index(edge.operation))]
        branch = wanted[edge.source, edge.operation].index(edge.target)
        for name in operation(edge.operation).kernel_names(genotype.space.rank):
            variable = next(weight for weight in layer.trainable_weights if weight.name == name)
            whole = keras.ops.convert_to_numpy(variable).copy()
            part = whole if alone else whole[layer.branch(name, branch)]
            values, own = np.split(own, [part.size])
            part[...] = values.reshape(part.shape)
            variable.assign(whole)
