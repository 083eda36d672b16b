"""scnas derive --genotype=RUN --channels=2 --classes=4 --output=model.keras
scnas derive --genotype=RUN/genotypes.jsonl --epoch=12 --channels=2 --classes=4 --output=model.keras
scnas derive --genotype=RUN/genotypes.jsonl --epoch=12 --output=genotype_12.json

Builds the Keras model of a genotype, with new weights. Or takes one epoch's genotype out of a search's history.
"""

import shlex

from scnas_keras.derive.config import DeriveConfig


def derive(config: DeriveConfig) -> str:
    """See `scnas_keras.derive.runner.run_derivation`, which this calls."""
    from scnas_keras.derive.runner import run_derivation

    return run_derivation(config)


def main(config: DeriveConfig) -> str:
    print(derive(config))
    if config.output.endswith(".keras"):
        return shlex.join(["scnas", "cost", f"--network={config.output}"])
    return shlex.join(["scnas", "draw", f"--genotype={config.output}", f"--output={config.output.removesuffix('.json')}.svg"])
