"""The model of a genotype, or the genotype of an epoch."""

from scnas_keras.console import load_tensorflow
from scnas_keras.derive.config import DeriveConfig
from scnas_keras.errors import ConfigError
from scnas_keras.spaces import genotype_history
from scnas_keras.spaces.genotype import Genotype


def run_derivation(config: DeriveConfig) -> str:
    """Writes the file that `--output` names; returns a line about it.

    Raises:
        ConfigError, GenotypeError: before a framework is loaded.
    """
    config.check()
    genotype = _load(config)
    if config.output.endswith(".json"):
        genotype.save(config.output)
        return f"{config.output}: the genotype; train its network with scnas retrain"
    genotype.space.check_width(config.width)
    load_tensorflow()
    import keras

    from scnas_keras.inference.keras_file import save_network
    from scnas_keras.networks import from_genotype

    keras.utils.set_random_seed(config.seed)
    model = from_genotype(genotype, config.channels, config.classes, config.width)
    save_network(model, config.output)
    return f"{config.output}: {model.count_params():,} parameters"


def _load(config: DeriveConfig) -> Genotype:
    """The genotype that the flags name."""
    if config.genotype.endswith(".jsonl"):
        return genotype_history.load(config.genotype, config.epoch)
    if config.epoch is not None:
        raise ConfigError(f"--epoch={config.epoch} needs the history of a search: --genotype=RUN/genotypes.jsonl.")
    return Genotype.load(config.genotype)
