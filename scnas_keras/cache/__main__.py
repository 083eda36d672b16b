"""The command; `scnas_keras.cache` describes it. Defines nothing: spawned workers don't see what is defined here."""

from scnas_keras import cache
from scnas_keras.options import run

if __name__ == "__main__":
    run(cache.CacheConfig, cache.main, cache.__doc__)
