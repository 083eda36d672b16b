"""The command; `scnas_keras.assess` describes it. Defines nothing: spawned workers don't see what is defined here."""

from scnas_keras import assess
from scnas_keras.options import run

if __name__ == "__main__":
    run(assess.AssessConfig, assess.main, assess.__doc__)
