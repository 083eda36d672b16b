"""The searches that flags name, read back and checked before a framework is loaded."""

from scnas_keras.assess.config import AssessConfig
from scnas_keras.assess.finished import FinishedSearch, load_search, warn_of_differences
from scnas_keras.assess.verdict import SIGNIFICANT
from scnas_keras.errors import ConfigError
from scnas_keras.files import user_path
from scnas_keras.runs.checks import check_positive
from scnas_keras.runs.seeds import expand_seeds

FEWEST_RANDOM = round(1 / SIGNIFICANT) - 1


def open_searches(config: AssessConfig) -> list[FinishedSearch]:
    """The searches that flags name, checked."""
    check_positive(config, "patches")
    if config.random < FEWEST_RANDOM:
        raise ConfigError(
            f"--random={config.random}: at least {FEWEST_RANDOM} random networks are needed; of fewer, no rank has p = {SIGNIFICANT:g}."
        )
    if not 0 <= config.seed < 2**31:
        raise ConfigError(f"--seed={config.seed} must be from 0 to 2147483647.")
    one = bool(config.workdir) and user_path(config.workdir).is_dir()  # a comma may be part of a name
    names = [config.workdir] if one else [name for name in (config.workdir or "").split(",") if name]
    if not names:
        raise ConfigError("Name the folder of a finished search with --workdir=RUN, or several as --workdir=RUN,RUN2.")
    searches = [load_search(own) for name in names for own in expand_seeds(name)]
    if len({search.path.resolve() for search in searches}) < len(searches):
        raise ConfigError(f"--workdir={config.workdir} names a run twice.")
    warn_of_differences(searches)
    return searches
