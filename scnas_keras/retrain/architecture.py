"""Which network a training run trains: by flags, as a footprint for the planner and as a Keras model."""

import bisect
import dataclasses
import pathlib

from absl import logging

from scnas_keras.architectures.registry import AUTO, DEFAULT_WIDTHS, GENOTYPE, MATCH, MATCHABLE, Network, footprint
from scnas_keras.errors import ConfigError
from scnas_keras.options import WIDEST
from scnas_keras.retrain.config import RetrainConfig
from scnas_keras.retrain.trained import trained_model
from scnas_keras.runs.checks import channels_of, check_outputs, check_paths
from scnas_keras.spaces.cost import cost_tables
from scnas_keras.spaces.genotype import Genotype, genotype_file
from scnas_keras.training.names import SCNAS

_MATCHED_PATCH, _MATCHED_CHANNELS, _MATCHED_CLASSES = 128, 4, 4  # the paper's brain task; the ratio hardly depends on it

_CLOSE = 0.1
"""By what share of them a width may miss the multiply-adds that it matches without a warning."""
PAPER_WIDTH = "68"


@dataclasses.dataclass(frozen=True)
class Architecture:
    """The network that flags name.

    Attributes:
        network: as the registry has it.
        genotype: of a searched network.
        source: the file that the genotype came from.
        weights: the trained model whose weights it starts from; None for new ones.
    """

    network: Network
    genotype: Genotype | None = None
    source: pathlib.Path | None = None
    weights: pathlib.Path | None = None


def choose(config: RetrainConfig, early: bool = False) -> Architecture:
    """The network of --network, --genotype, --transfer_from, --init and --width.

    Args:
        config: the flags.
        early: before a framework is loaded, in silence: of a width that is to match another network's cost, which takes models to count,
            only the words are checked.

    Raises:
        ConfigError: flags that don't go together, --deep_supervision among them.
        GenotypeError: a damaged genotype.
    """
    check_paths(config.network, config.path_dropout)
    found = _choose(config, early)
    check_outputs(found.network, config.deep_supervision)
    return found


def _choose(config: RetrainConfig, early: bool) -> Architecture:
    weights = trained_model(config)
    if config.network != GENOTYPE:
        if config.genotype or (config.transfer_from and not weights):
            flag = "genotype" if config.genotype else "transfer_from"
            raise ConfigError(
                f"--{flag}={getattr(config, flag)} names an architecture, and --network={config.network} is one. Leave one of "
                f"them out{'' if config.genotype else ', or take its weights with --init=weights'}."
            )
        if config.preset == SCNAS and config.width == PAPER_WIDTH and not early:
            text = "--preset=scnas is %s channels wide, as the paper's searched network; its %s has %d: --width=%d"
            logging.warning(text, PAPER_WIDTH, config.network, *[DEFAULT_WIDTHS[config.network]] * 2)
        return Architecture(footprint(config.network, _number(config.width)), weights=weights)
    if config.genotype and config.transfer_from:
        raise ConfigError(
            "--genotype and --transfer_from both name an architecture; give one: --genotype for one of this task's own, "
            "--transfer_from for another task's."
        )
    source = _named(config.genotype or config.transfer_from)
    genotype = Genotype.load(source)
    if not (config.width or "").startswith(MATCH):
        width = _number(config.width)
    elif early:
        _other(config.width, genotype)
        width = None
    else:
        width = _matched(config.width, genotype)
    network = footprint(GENOTYPE, width, genotype)
    nodes = len(genotype.space.placed[-1].output)
    node = genotype.space.node_channels(network.width, genotype.space.placed[-1])
    if node > 16 and node % 16 and not early:
        text = "width %d gives nodes of %d channels, which are computed slowly; multiples of 16 (a width of %d) are fastest"
        logging.info(text, network.width, node, 16 * nodes * round(node / 16))
    return Architecture(network, genotype, source, weights)


def _named(path: str | None) -> pathlib.Path:
    """The genotype.json that a flag names, or that lies in the folder that it names."""
    if not path:
        raise ConfigError(
            "Name the architecture with --genotype=FILE: the genotype.json that a search left, or its folder. Or name a hand-made "
            "network with --network."
        )
    return genotype_file(path)


def _number(width: str | None) -> int | None:
    if width in (None, AUTO):
        return None
    return channels_of(width, f" {MATCH} is for --network={GENOTYPE}." if width.startswith(MATCH) else "")


def _other(width: str, genotype: Genotype) -> Network:
    """The hand-made network whose cost a --width is to match; ConfigError if it names none, or one of other axes than the genotype."""
    name, _, other_width = width.removeprefix(MATCH).partition(":")
    if name not in MATCHABLE or not (other_width or "1").isdecimal():
        raise ConfigError(
            f"--width={width}: expected {MATCH} and one of {', '.join(MATCHABLE)}, for example {MATCH}{MATCHABLE[0]}, or "
            f"{MATCH}{MATCHABLE[0]}:16 for that of another width."
        )
    rank, other = genotype.space.rank, footprint(name, channels_of(other_width) if other_width else None)
    if rank not in other.ranks:
        raise ConfigError(f"--width={width}: the genotype has {rank} axes, and {name} is for {' or '.join(map(str, other.ranks))}.")
    return other


def _matched(width: str, genotype: Genotype) -> int:
    """The width at which a genotype costs about the same multiply-adds as a hand-made network."""
    from scnas_keras.networks.cost import network_cost  # which loads a framework

    other, rank, nodes = _other(width, genotype), genotype.space.rank, genotype.space.width_step
    patch = (_MATCHED_PATCH,) * rank
    topology = other.topology((1.0,) * rank, patch)
    model = other.build(topology, other.features(topology), _MATCHED_CHANNELS, _MATCHED_CLASSES)
    wanted = network_cost(model, patch).multiply_adds

    def cost(width: int) -> float:
        return cost_tables(genotype.space, width, patch, _MATCHED_CHANNELS, _MATCHED_CLASSES).of_genotype(genotype).multiply_adds

    candidates = range(nodes, WIDEST, nodes)
    above = bisect.bisect_left(candidates, wanted, key=cost)  # a wider network costs more
    best = min(candidates[max(above - 1, 0) : above + 1], key=lambda candidate: abs(cost(candidate) - wanted))
    log = logging.info if abs(cost(best) / wanted - 1) <= _CLOSE else logging.warning
    log(
        "--width=%s: %d channels, %.0f G multiply-adds for a patch of 128^%d with 4 channels, against %.0f",
        width,
        best,
        cost(best) / 1e9,
        rank,
        wanted / 1e9,
    )
    return best
