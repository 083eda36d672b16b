"""The trained network that another starts from; finding it loads no framework."""

import hashlib
import pathlib

from scnas_keras.errors import ConfigError
from scnas_keras.files import user_path
from scnas_keras.inference.names import COMPANION, INHERITED, MODEL
from scnas_keras.retrain.config import SEARCH, WEIGHTS, RetrainConfig
from scnas_keras.spaces.genotype import GENOTYPE_FILE, Genotype, genotype_file
from scnas_keras.spaces.published import PUBLISHED_NAMES

TRANSFER = "transfer.json"
"""In a run's folder: whose weights it began with."""


def trained_model(config: RetrainConfig) -> pathlib.Path | None:
    """The model file that --init takes weights of; None for new ones.

    Raises:
        ConfigError: none is named, or it isn't there.
    """
    if config.init == SEARCH:
        return _searched(config.genotype)
    if config.init != WEIGHTS:
        return None
    if not config.transfer_from:
        raise ConfigError("--init=weights takes the weights of a trained network: name its run with --transfer_from=RUN.")
    path = user_path(config.transfer_from)
    file = path if path.suffix == ".keras" else (path if path.is_dir() else path.parent) / MODEL
    if not file.is_file() or not file.with_name(COMPANION).is_file():
        raise ConfigError(
            f"--transfer_from={config.transfer_from}: {file} with {COMPANION} beside it, a trained network, isn't there; a search leaves "
            "none. Name the --workdir of scnas retrain, or leave out --init=weights."
        )
    return file


def digest_of(model: pathlib.Path) -> str:
    """The SHA-256 of a model's file, by which transfer.json knows whose weights were taken."""
    with open(model, "rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _searched(genotype: str | None) -> pathlib.Path:
    """What a search leaves of the network that it found."""
    if not genotype:
        raise ConfigError("--init=search takes the weights that a search trained: name its folder with --genotype=RUN.")
    named = genotype_file(genotype)
    if genotype in PUBLISHED_NAMES:
        raise ConfigError(f"--init=search: {genotype} is a published architecture, which has no weights. Leave out --init.")
    file = named.with_name(INHERITED)
    if not file.is_file():
        raise ConfigError(
            f"--init=search: {file} isn't there: the search hasn't finished, or an older version of the program ran it. Leave out --init, "
            "or search again."
        )
    if Genotype.load(named).cells != Genotype.load(named.with_name(GENOTYPE_FILE)).cells:
        raise ConfigError(
            f"--init=search: {named} isn't the network that the search beside it ended with. Name {named.parent}, its folder."
        )
    return file
