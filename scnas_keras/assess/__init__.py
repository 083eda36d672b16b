"""scnas assess --workdir=RUN[,RUN2,...]

Reports what a finished search is worth, as far as that shows without training. Compares the network it found with random ones of the same
cost with the search's shared weights, which can show that it is no better; measures what deriving one network loses against those that
the search drew, and, of several runs, how far their architectures agree. RUN/assessment then holds a table, assessment.json and
networks.csv. Whether a search pays only training shows: scnas select.
"""

from typing import Any

from scnas_keras.assess.config import AssessConfig
from scnas_keras.console import load_tensorflow


def assess(config: AssessConfig) -> Any:
    """See `scnas_keras.assess.runner.run_assessment`, which this calls: a framework is loaded only once the searches are read.

    Raises:
        ConfigError, DataError, GenotypeError: before any work.
    """
    from scnas_keras.assess.searches import open_searches

    searches = open_searches(config)
    load_tensorflow()
    from scnas_keras.assess.runner import run_assessment

    return run_assessment(config, searches)


def main(config: AssessConfig) -> str:
    from scnas_keras.runs.following import following

    result = assess(config)
    print(result.text)
    first = result.searches[0]
    return following("retrain", first.config, preset=first.config.preset, genotype=first.path, workdir=f"{first.path}_trained")
