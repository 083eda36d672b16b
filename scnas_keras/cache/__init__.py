"""scnas cache
scnas cache --clear=Hippocampus-737ef60f8aa89576
scnas cache --clear=all

Lists what is kept between runs, with sizes, and clears it. That is prepared scans, and what was measured of scans and of this machine.
Nothing there is lost for good: a run that needs it makes it again. A run that is going on needs its prepared scans; stop it first.
"""

from scnas_keras.cache.config import CacheConfig


def cache(config: CacheConfig) -> str:
    """See `scnas_keras.cache.runner.run_cache`, which this calls."""
    from scnas_keras.cache.runner import run_cache

    return run_cache(config)


def main(config: CacheConfig) -> None:
    print(cache(config))
