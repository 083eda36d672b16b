"""The network of a sample: another width, and other stages or blocks in a plan of its own."""

import dataclasses

from scnas_keras.architectures.nnunet import StagesOfPlan
from scnas_keras.architectures.registry import Network, footprint
from scnas_keras.planning.plans import Configuration
from scnas_keras.planning.topology import Topology
from scnas_keras.select.candidate import Candidate
from scnas_keras.select.genes import BLOCKS, FEWER, MORE, SAME, STAGES, Genes
from scnas_keras.select.pool import NODE
from scnas_keras.spaces.genotype import Genotype

_FEWEST_STAGES, _LEAST_EDGE = 3, 4
_CHANGES = {FEWER: -1, SAME: 0, MORE: 1}
_WIDTH_STEP = 8


def network_of(candidate: Candidate) -> Network:
    """As the registry has it."""
    genotype = Genotype.load(candidate.genotype) if candidate.genotype else None
    return footprint(candidate.network, int(candidate.width), genotype)  # type: ignore[return-value]


def lacking(base: Candidate) -> frozenset[str]:
    """Genes that don't concern a candidate's network."""
    network = network_of(base)
    macro = set() if network.stages_of_plan else {STAGES, BLOCKS}
    return frozenset(macro if network.several_outputs else macro | {"deep_supervision"})


def width_of(base: Candidate, factor: float) -> str:
    """So many times the width of a candidate, or the nearest that is computed fast."""
    step = Genotype.load(base.genotype).space.width_of_nodes(NODE) if base.genotype else _WIDTH_STEP
    return base.width if factor == 1 else str(step * max(1, round(factor * int(base.width) / step)))


def with_genes(usual: Configuration, network: StagesOfPlan, genes: Genes) -> Configuration | None:
    """A configuration with a stage, or blocks in every stage of the encoder, more or less; None if the patch doesn't allow it.

    A stage more halves the axes whose size at the bottleneck is even and 4 at least.
    """
    topology = usual.topology
    strides, kernels, counts = list(topology.strides), list(topology.kernel_sizes), list(network.blocks(topology))
    stages = genes.get(STAGES)
    if stages == FEWER:
        if len(strides) <= _FEWEST_STAGES:
            return None
        strides, kernels, counts = strides[:-1], kernels[:-1], counts[:-1]
    elif stages == MORE:
        halved = tuple(2 if edge % 2 == 0 and edge >= _LEAST_EDGE else 1 for edge in topology.stage_sizes()[-1])
        if max(halved) == 1:
            return None
        strides, kernels, counts = [*strides, halved], [*kernels, kernels[-1]], [*counts, counts[-1]]
    found = Topology(topology.patch_size, tuple(strides), tuple(kernels))
    features = (*usual.features_per_stage, *network.features(found)[len(topology.strides) :])[: len(strides)]
    change = _CHANGES[str(genes.get(BLOCKS, SAME))]
    blocks = tuple(max(1, count + change) for count in counts)
    return dataclasses.replace(
        usual, strides=found.strides, kernel_sizes=found.kernel_sizes, features_per_stage=features, blocks_per_stage=blocks
    )
