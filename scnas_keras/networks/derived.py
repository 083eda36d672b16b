"""A genotype as a fixed Keras model."""

from collections.abc import Iterable

import keras
from keras import layers

from scnas_keras.networks.heads import LOGITS, supervised, with_outputs
from scnas_keras.networks.operations import build_operation, has_weights
from scnas_keras.networks.parts import Align, OutCell, Stem
from scnas_keras.spaces.genotype import Edge, Genotype
from scnas_keras.spaces.operations import ZERO
from scnas_keras.spaces.space import CELL_INPUTS, CellPlan


def from_genotype(
    genotype: Genotype, channels: int, num_classes: int, stem_channels: int = 64, deep_supervision: bool = False, name: str = "derived"
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
        deep_supervision: also give the logits of the coarser decoder levels but the coarsest, as a list, finest first.
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
    outputs, decoder = [Stem(stem_channels, name="stem")(image)], {}
    for number, plan in enumerate(space.cells()):
        width = space.node_channels(stem_channels, plan.level)
        outputs.append(_cell(plan, genotype.cells[plan.kind], width, outputs))
        if number >= len(space.layout) // 2:
            decoder[plan.level] = outputs[-1]
    heads = supervised([decoder[level] for level in sorted(decoder)])[: None if deep_supervision else 1]
    logits = [OutCell(num_classes, dtype="float32", name=f"{LOGITS}_{i}" if i else LOGITS)(x) for i, x in enumerate(heads)]
    return with_outputs(image, logits, name)


def groups(edges: Iterable[Edge]) -> dict[tuple[int, str], list[int]]:
    """(Source, operation) -> targets of a cell's edges that aren't zero, in order: what one layer computes (`operation_name`)."""
    found: dict[tuple[int, str], list[int]] = {}
    for edge in edges:
        if edge.operation != ZERO:
            found.setdefault((edge.source, edge.operation), []).append(edge.target)
    return found


def operation_name(plan: CellPlan, source: int, operation: str) -> str:
    """Name of the layer of all edges of a cell that apply an operation to a node."""
    return f"{plan.name}_{operation}_from_{source}"


def _cell(plan: CellPlan, edges: tuple[Edge, ...], width: int, outputs: list):
    """Adds one cell; `outputs` are those of the stem and of the cells before it."""
    targets, wanted = sorted({edge.target for edge in edges}), groups(edges)
    terms: dict[int, list] = {j: [] for j in targets}
    nodes = []
    for i in (*range(CELL_INPUTS), *targets):
        own = {operation: found for (source, operation), found in wanted.items() if source == i}
        if i >= CELL_INPUTS:
            x = layers.Add(name=f"{plan.name}_node_{i}")(terms[i]) if len(terms[i]) > 1 else terms[i][0]
            nodes.append(x)
        elif own:
            x = outputs[plan.inputs[i]]
            if i == 1 and plan.skip is not None:
                x = layers.Add(name=f"{plan.name}_skip")([x, outputs[plan.skip]])
            x = Align(width, plan.input_levels[i] - plan.input_level, name=f"{plan.name}_input_{i}")(x)
        for operation, found in own.items():
            for j, y in zip(found, _apply(plan, i, operation, len(found), x)):
                terms[j].append(y)
    return layers.Concatenate(name=f"{plan.name}_output")(nodes) if len(nodes) > 1 else nodes[0]


def _apply(plan: CellPlan, source: int, operation: str, count: int, x) -> list:
    """The results of `count` edges that apply the same operation to a node."""
    branches = count if has_weights(operation) else 1
    name = operation_name(plan, source, operation)
    y = build_operation(operation, plan.stride((source, source + 1)), branches=branches, name=name)(x)
    return y if branches > 1 else [y] * count
