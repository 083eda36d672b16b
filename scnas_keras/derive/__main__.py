"""The command; `scnas_keras.derive` describes it. Defines nothing: spawned workers don't see what is defined here."""

from scnas_keras import derive
from scnas_keras.options import run

if __name__ == "__main__":
    run(derive.DeriveConfig, derive.main, derive.__doc__)
