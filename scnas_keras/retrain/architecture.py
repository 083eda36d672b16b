"""Which network a training trains: by flags, as a footprint for the planner and as a Keras model."""

import dataclasses
import pathlib
from collections.abc import Sequence

import keras
from absl import logging

from scnas_keras.architectures.build import build_network
from scnas_keras.architectures.names import DEFAULT_WIDTHS, GENOTYPE, MATCH, MATCHABLE
from scnas_keras.architectures.registry import footprint
from scnas_keras.errors import ConfigError
from scnas_keras.inference.model_folder import COMPANION, MODEL, load_network
from scnas_keras.networks.cost import network_cost
from scnas_keras.planning.footprints import Footprint
from scnas_keras.planning.topology import fixed_topology
from scnas_keras.retrain.config import RetrainConfig
from scnas_keras.spaces.cost import cost_tables
from scnas_keras.spaces.genotype import Genotype

_MATCHED_PATCH, _MATCHED_CHANNELS, _MATCHED_CLASSES = 128, 4, 4  # the paper's brain task; the ratio hardly depends on it


@dataclasses.dataclass(frozen=True)
class Architecture:
    """The network that flags name.

    Attributes:
        network: as the planner sees it.
        genotype: of a searched network.
        source: the file that the genotype came from.
        weights: the trained model whose weights it starts from; None for new ones.
    """

    network: Footprint
    genotype: Genotype | None = None
    source: pathlib.Path | None = None
    weights: pathlib.Path | None = None


def choose(config: RetrainConfig) -> Architecture:
    """The network of --network, --genotype, --transfer_from, --init and --width.

    Raises:
        ConfigError: flags that don't go together.
        GenotypeError: a damaged genotype.
    """
    weights = _trained_model(config)
    if config.network != GENOTYPE:
        if config.genotype or (config.transfer_from and not weights):
            flag = "genotype" if config.genotype else "transfer_from"
            raise ConfigError(
                f"--{flag}={getattr(config, flag)} names an architecture, and --network={config.network} is one. Leave one of "
                f"them out{'' if config.genotype else ', or take its weights with --init=weights'}."
            )
        return Architecture(footprint(config.network, _number(config.width, config.network)), weights=weights)
    if config.genotype and config.transfer_from:
        raise ConfigError(
            "--genotype and --transfer_from both name an architecture; give one: --genotype for one of this task's own, "
            "--transfer_from for another task's."
        )
    source = genotype_file(config.genotype or config.transfer_from)
    genotype = Genotype.load(source)
    width = _matched(config.width, genotype) if (config.width or "").startswith(MATCH) else _number(config.width, GENOTYPE)
    node = genotype.space.node_channels(width, 0)
    if node > 16 and node % 16:
        logging.info("width %d gives nodes of %d channels, which are computed slowly; multiples of 16 (a width of %d) are fastest", width, node,
                     16 * genotype.space.nodes * round(node / 16))  # fmt: skip
    return Architecture(footprint(GENOTYPE, width, genotype), genotype, source, weights)


def genotype_file(path: str | None) -> pathlib.Path:
    """The genotype.json that a flag names, or that lies in the folder that it names."""
    if not path:
        raise ConfigError(
            "Name the architecture with --genotype=FILE: the genotype.json that a search left, or its folder. Or name a hand-made "
            "network with --network."
        )
    file = pathlib.Path(path).expanduser()
    return file / "genotype.json" if file.is_dir() else file


def take_weights(network: keras.Model, path: pathlib.Path) -> tuple[int, list[str]]:
    """Puts those weights of a saved model into a network that have the same place and shape.

    A weight's place is its layer's name and its number within the layer.

    Returns:
        How many were taken, and a line for each of the network's that was not.

    Raises:
        DataError: the model can't be read.
        ConfigError: none fits.
    """
    theirs = {_place(layer, i): weight for layer in load_network(path).layers for i, weight in enumerate(layer.weights)}
    taken, left = 0, []
    for layer in network.layers:
        for i, weight in enumerate(layer.weights):
            other = theirs.get(_place(layer, i))
            if other is not None and tuple(other.shape) == tuple(weight.shape):
                weight.assign(other)
                taken += 1
            else:
                found = "not there" if other is None else f"{_times(other.shape)} there"
                left.append(f"{layer.name}, {weight.name}: {_times(weight.shape)} here, {found}")
    if not taken:
        raise ConfigError(f"--init=weights: no weight of {path} fits this network. Give both the same --network, architecture and --width.")
    return taken, left


def _place(layer: keras.Layer, number: int) -> tuple[str, int]:
    return layer.name, number


def _times(shape: Sequence[int]) -> str:
    return "x".join(map(str, shape)) or "1"


def _number(width: str | None, network: str) -> int:
    if width is None:
        return DEFAULT_WIDTHS[network]
    if not width.isdecimal():
        only = f" {MATCH} is for --network={GENOTYPE}." if width.startswith(MATCH) else ""
        raise ConfigError(f"--width={width} must be a whole number of channels.{only}")
    return int(width)


def _matched(width: str, genotype: Genotype) -> int:
    """The width at which a genotype costs about the same multiply-adds as a hand-made network."""
    name, _, other_width = width.removeprefix(MATCH).partition(":")
    if name not in MATCHABLE or not (other_width or "1").isdecimal():
        raise ConfigError(
            f"--width={width}: expected {MATCH} and one of {', '.join(MATCHABLE)}, for example {MATCH}u_resnet, or {MATCH}u_resnet:16 for "
            "that of another width."
        )
    patch, nodes = (_MATCHED_PATCH,) * genotype.space.rank, genotype.space.nodes
    topology, other = fixed_topology(patch, 3), footprint(name, int(other_width) if other_width else None)
    model = build_network(other, topology, other.features(topology), _MATCHED_CHANNELS, _MATCHED_CLASSES)
    wanted = network_cost(model, patch).multiply_adds

    def cost(width: int) -> float:
        return cost_tables(genotype.space, width, patch, _MATCHED_CHANNELS, _MATCHED_CLASSES).of_genotype(genotype).multiply_adds

    candidates = range(nodes, 1024 + nodes, nodes)
    best = min(candidates, key=lambda candidate: abs(cost(candidate) - wanted))
    logging.info("--width=%s: %d channels, %.0f G multiply-adds for a patch of 128^3 with 4 channels, against %.0f", width, best, cost(best) / 1e9,
                 wanted / 1e9)  # fmt: skip
    return best


def _trained_model(config: RetrainConfig) -> pathlib.Path | None:
    """The model file that --init=weights takes weights of."""
    if config.init != "weights":
        return None
    if not config.transfer_from:
        raise ConfigError("--init=weights takes the weights of a trained network: name its run with --transfer_from=RUN.")
    path = pathlib.Path(config.transfer_from).expanduser()
    file = path if path.suffix == ".keras" else (path if path.is_dir() else path.parent) / MODEL
    if not file.is_file() or not file.with_name(COMPANION).is_file():
        raise ConfigError(
            f"--transfer_from={config.transfer_from}: {file} with {COMPANION} beside it, a trained network, isn't there; a search leaves "
            "none. Name the --workdir of scnas_keras.retrain, or leave out --init=weights."
        )
    return file
