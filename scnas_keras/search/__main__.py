"""The command; `scnas_keras.search` describes it. Defines nothing: spawned workers don't see what is defined here."""

from scnas_keras import search
from scnas_keras.options import run

if __name__ == "__main__":
    run(search.SearchConfig, search.main, search.__doc__)
