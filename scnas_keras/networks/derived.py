"""A genotype as a fixed Keras model."""

import keras
from keras import layers

from scnas_keras.networks.operations import build_operation
from scnas_keras.networks.parts import Align, OutCell, Stem
from scnas_keras.spaces.genotype import Edge, Genotype
from scnas_keras.spaces.operations import ZERO
from scnas_keras.spaces.space import CELL_INPUTS, CellPlan


def from_genotype(
    genotype: Genotype, channels: int, num_classes: int, stem_channels: int = 64, name: str = "derived"
) -> keras.Model:
    """The network that a genotype describes, with new weights.

    Maps images [batch, *space, channels], every spatial axis divisible by 2 ** depth (8 for SCNAS), to logits
    [batch, *space, num_classes]; take a softmax over the last axis for probabilities. Edges that are zero, and inputs
    that no edge reads, are not built.

    Args:
        genotype: a found architecture.
        channels: image channels.
        num_classes: classes, background included.
        stem_channels: width at full resolution; level n of the U has 2^n times as many. A quarter of it is a node's
            width, which runs fastest when it is a multiple of 16 (64, 128); 68 is the paper's.
        name: the model's name.

    Raises:
        ConfigError: `stem_channels` can't be divided among the nodes.

    Example:
        >>> model = from_genotype(Genotype.load("genotype.json"), channels=2, num_classes=4)
        >>> model.compile("adam", loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True))
        >>> model.fit(images, labels)

    Reference:
        Kim et al., Scalable Neural Architecture Search for 3D Medical Image Segmentation, arXiv 1906.05956.
    """
    space = genotype.space
    image = keras.Input((*[None] * space.rank, channels), name="image")
    outputs = [Stem(stem_channels, name="stem")(image)]
    for plan in space.cells():
        width = space.node_channels(stem_channels, plan.level)
        outputs.append(_cell(plan, genotype.cells[plan.kind], width, outputs))
    logits = OutCell(num_classes, dtype="float32", name="logits")(outputs[-1])
    return keras.Model(image, logits, name=name)


def _cell(plan: CellPlan, edges: tuple[Edge, ...], width: int, outputs: list):
    """Adds one cell; `outputs` are those of the stem and of the cells before it."""
    kept = [edge for edge in edges if edge.operation != ZERO]
    nodes = {}
    for i in {edge.source for edge in kept if edge.source < CELL_INPUTS}:
        x = outputs[plan.inputs[i]]
        if i == 1 and plan.skip is not None:
            x = layers.Add(name=f"{plan.name}_skip")([x, outputs[plan.skip]])
        nodes[i] = Align(width, plan.input_levels[i] - plan.input_level, name=f"{plan.name}_input_{i}")(x)
    targets = sorted({edge.target for edge in edges})
    for j in targets:
        terms = [_operation(plan, edge)(nodes[edge.source]) for edge in kept if edge.target == j]
        nodes[j] = layers.Add(name=f"{plan.name}_node_{j}")(terms) if len(terms) > 1 else terms[0]
    if len(targets) == 1:
        return nodes[targets[0]]
    return layers.Concatenate(name=f"{plan.name}_output")([nodes[j] for j in targets])


def _operation(plan: CellPlan, edge: Edge) -> layers.Layer:
    stride = plan.stride((edge.source, edge.target))
    return build_operation(edge.operation, stride, name=f"{plan.name}_edge_{edge.source}_{edge.target}")
