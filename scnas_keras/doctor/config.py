"""The options of `scnas_keras.doctor`."""

import dataclasses

from scnas_keras.options import option


@dataclasses.dataclass(frozen=True)
class DoctorConfig:
    """Where runs would write."""

    workdir: str = option(".", "Folder whose disk runs are going to use.", "Places", path=True)
    cache_dir: str | None = option(
        None, "Where prepared scans are kept. Default: $SCNAS_CACHE_DIR or ~/.cache/scnas_keras.", "Places", path=True
    )
