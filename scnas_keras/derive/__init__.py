"""scnas derive --genotype=RUN --channels=2 --classes=4 --output=model.keras
scnas derive --genotype=RUN/genotypes.jsonl --epoch=12 --channels=2 --classes=4 --output=model.keras
scnas derive --genotype=RUN/genotypes.jsonl --epoch=12 --output=genotype_12.json

Builds the Keras model of a genotype, with new weights. Or takes one epoch's genotype out of a search's history.
"""

from scnas_keras.derive.config import DeriveConfig


def derive(config: DeriveConfig) -> str:
    """See `scnas_keras.derive.runner.run_derivation`, which this calls."""
    from scnas_keras.derive.runner import run_derivation

    return run_derivation(config)


def main(config: DeriveConfig) -> None:
    print(derive(config))
