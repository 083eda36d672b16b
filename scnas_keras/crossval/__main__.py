"""The command; `scnas_keras.crossval` describes it. Defines nothing: spawned workers don't see what is defined here."""

from scnas_keras import crossval
from scnas_keras.options import run

if __name__ == "__main__":
    run(crossval.CrossvalConfig, crossval.main, crossval.__doc__)
