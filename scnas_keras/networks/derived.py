"""A genotype as a fixed Keras model."""

from collections.abc import Iterable, Sequence

import keras
from keras import layers

from scnas_keras.errors import ConfigError
from scnas_keras.networks import blocks
from scnas_keras.networks.buildable import check_buildable
from scnas_keras.networks.heads import LOGITS, with_outputs
from scnas_keras.networks.parts import Align, Doubled, OutCell, Stem
from scnas_keras.networks.path_dropout import PathDropout
from scnas_keras.operations.build import build_operation, layer_class
from scnas_keras.operations.registry import operation
from scnas_keras.spaces.genotype import Edge, Genotype
from scnas_keras.spaces.places import Alignment, PlacedCell
from scnas_keras.spaces.space import SearchSpace


def from_genotype(
    genotype: Genotype,
    channels: int,
    num_classes: int,
    stem_channels: int = 64,
    deep_supervision: bool = False,
    name: str = "derived",
    path_dropout: bool = False,
) -> keras.Model:
    """The network that a genotype describes, with new weights.

    Maps images [batch, *space, channels], every spatial axis divisible by 2 ** depth (8 for SCNAS), to logits
    [batch, *space, num_classes]; take a softmax over the last axis for probabilities. Absent edges, inputs that no edge reads, and
    cells that nothing reads are not built. All normalisations are instance normalisations, whatever a space's paper has.

    Args:
        genotype: a found architecture.
        channels: image channels.
        num_classes: classes, background included.
        stem_channels: width at full resolution; in SCNAS level n of the U has 2^n times as many, and a quarter of it is a node's
            width, which runs fastest when it is a multiple of 16 (64, 128); 68 is that paper's.
        deep_supervision: also give the logits of the coarser decoder levels but the coarsest, as a list, finest first.
        name: the model's name.
        path_dropout: let the result of every edge but an identity go through a `PathDropout`, which training uses.

    Raises:
        ConfigError: `stem_channels` can't be divided among the nodes, or the space holds connections that there is no layer for.

    Example:
        >>> model = from_genotype(Genotype.load("genotype.json"), channels=2, num_classes=4)
        >>> model.compile("adam", loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True))
        >>> model.fit(images, labels)

    Reference:
        Kim et al., Scalable Neural Architecture Search for 3D Medical Image Segmentation, arXiv 1906.05956.
    """
    space = genotype.space
    check_buildable(space)
    if channels < 1 or num_classes < 2:
        raise ConfigError(
            f"A network of {channels} channels and {num_classes} classes: it needs a channel, and the background and a class."
        )
    space.check_width(stem_channels)
    image, features = blocks.image(space.rank, channels)
    outputs = [Stem(stem.width * stem_channels, 2**stem.level, name=stem_name(i))(features) for i, stem in enumerate(space.stems)]
    for cell in space.placed:
        outputs.append(_cell(cell, genotype.cells[cell.kind], space.node_channels(stem_channels, cell), outputs, path_dropout))
    heads = [outputs[i] for i in (*space.head.sources, *(space.head.auxiliary if deep_supervision else ()))]
    logits = [OutCell(num_classes, dtype="float32", name=f"{LOGITS}_{i}" if i else LOGITS)(x) for i, x in enumerate(heads)]
    if doubled := head_doubling(space):
        logits[0] = doubled(logits[0])
    return with_outputs(image, logits, name)


def head_doubling(space: SearchSpace) -> Doubled | None:
    """What brings the logits of a head at a coarser level to the image's resolution; None where they have it."""
    (source,) = space.head.sources
    level = space.levels[source]
    return Doubled(level, space.head.double == "linear", dtype="float32", name="doubled_logits") if level else None


def groups(edges: Iterable[Edge]) -> dict[tuple[int, str], list[int]]:
    """(Source, operation) -> targets of a cell's edges that are there, in order: what one layer can compute (`operation_name`)."""
    found: dict[tuple[int, str], list[int]] = {}
    for edge in edges:
        if edge.operation is not None:
            found.setdefault((edge.source, edge.operation), []).append(edge.target)
    return found


def stem_name(number: int) -> str:
    """Name of a stem's layer."""
    return f"stem_{number}" if number else "stem"


def operation_name(cell: str, source: int, name: str, target: int | None = None) -> str:
    """Name of the layer of all edges of a cell that apply an operation to a node, or of one of them where each has a layer of its own."""
    return f"{cell}_{name}_from_{source}" + ("" if target is None else f"_to_{target}")


def has_own_layer(name: str) -> bool:
    """Whether each edge with an operation needs a layer of its own."""
    return operation(name).learns and not layer_class(name).merges


def _cell(cell: PlacedCell, edges: Sequence[Edge], width: int, outputs: list, path_dropout: bool):
    """Adds one cell; `outputs` are those of the stems and of the cells before it."""
    wanted, roles = groups(edges), {edge.source: edge.role for edge in cell.edges}
    terms: dict[int, list] = {j: [] for j in cell.nodes}
    nodes = {}
    for i in (*range(len(cell.inputs)), *cell.nodes):
        own = {name: found for (source, name), found in wanted.items() if source == i}
        if i in terms:
            x = nodes[i] = layers.Add(name=f"{cell.name}_node_{i}")(terms[i]) if len(terms[i]) > 1 else terms[i][0]
        elif own:
            x = _input(cell, i, width, outputs)
        else:  # an input that no edge reads
            continue
        for name, found in own.items():
            for j, y in zip(found, _apply(cell, i, name, found, roles[i], x)):
                if path_dropout and not operation(name).is_identity:
                    y = PathDropout(name=f"{operation_name(cell.name, i, name, j)}_dropout")(y)
                terms[j].append(y)
    concatenated = [nodes[j] for j in cell.output]
    return layers.Concatenate(name=f"{cell.name}_output")(concatenated) if len(concatenated) > 1 else concatenated[0]


def alignments(cell: PlacedCell) -> list[tuple[str, Alignment]]:
    """The alignments of a cell's inputs, one after the other, and the names of their layers."""
    return [found for number in range(len(cell.inputs)) for found in _alignments(cell, number)]


def _alignments(cell: PlacedCell, number: int) -> list[tuple[str, Alignment]]:
    name, (first, *others) = f"{cell.name}_input_{number}", cell.inputs[number].alignments
    return [(name, first), *((f"{name}_part_{part}", own) for part, own in enumerate(others, start=1))]


def _input(cell: PlacedCell, number: int, width: int, outputs: list):
    """What an input joins, at the resolution and width of a node."""
    last = "skip" if number == len(cell.inputs) - 1 else f"join_{number}"
    join = {"sum": layers.Add, "concat": layers.Concatenate}[cell.inputs[number].join]
    aligned = []
    for name, part in _alignments(cell, number):
        sources = [outputs[source] for source in part.sources]
        joined = join(name=f"{cell.name}_{last}")(sources) if len(sources) > 1 else sources[0]
        aligned.append(Align(width, part.shift, bridge=part.bridge, name=name)(joined))
    return layers.Add(name=f"{cell.name}_{last}")(aligned) if len(aligned) > 1 else aligned[0]


def _apply(cell: PlacedCell, source: int, name: str, targets: Sequence[int], role: str, x) -> list:
    """The results of edges that apply the same operation to a node."""
    if has_own_layer(name):
        return [build_operation(name, role, name=operation_name(cell.name, source, name, j))(x) for j in targets]
    branches = len(targets) if operation(name).learns else 1
    y = build_operation(name, role, branches=branches, name=operation_name(cell.name, source, name))(x)
    return y if branches > 1 else [y] * len(targets)
