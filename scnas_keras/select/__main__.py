"""The command; `scnas_keras.select` describes it. Defines nothing: spawned workers don't see what is defined here."""

from scnas_keras import select
from scnas_keras.options import run

if __name__ == "__main__":
    run(select.SelectConfig, select.main, select.__doc__)
