"""python -m scnas_keras.assess --workdir=RUN[,RUN2,...]

Tells whether a finished search can be believed. Compares the network it found with random ones of the same space: first with the
search's shared weights, which takes minutes, then on request after training each for the same time (--retrain_minutes). Also: what
deriving one network loses against those that the search drew, and, of several runs, how far their architectures agree.
RUN/assessment then holds a table, assessment.json and networks.csv.
"""

from typing import Any

from scnas_keras.assess.config import AssessConfig
from scnas_keras.console import load_tensorflow


def assess(config: AssessConfig) -> Any:
    """See `scnas_keras.assess.runner.run_assessment`, which this calls: a framework is loaded only now."""
    from scnas_keras.assess.runner import run_assessment

    return run_assessment(config)


def main(config: AssessConfig) -> None:
    load_tensorflow()
    print(assess(config).text)
