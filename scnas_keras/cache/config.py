"""The options of `scnas_keras.cache`."""

import dataclasses

from scnas_keras.options import option


@dataclasses.dataclass(frozen=True)
class CacheConfig:
    """Which cache, and what is cleared."""

    cache_dir: str | None = option(None, "The cache's folder. Default: $SCNAS_CACHE_DIR or ~/.cache/scnas_keras.", "Cache", path=True)
    clear: str | None = option(None, "What is cleared: names as they are listed, with commas between, or all.", "Cache")
