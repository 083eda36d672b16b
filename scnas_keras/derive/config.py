"""The options of `scnas_keras.derive`."""

import dataclasses

from scnas_keras.errors import ConfigError, missing
from scnas_keras.options import LAST_SEED, WIDEST, option
from scnas_keras.spaces.published import PUBLISHED_NAMES


@dataclasses.dataclass(frozen=True)
class DeriveConfig:
    """Whose network is built, and where it goes."""

    genotype: str | None = option(
        None,
        f"A genotype.json, the folder of a search, its genotypes.jsonl, or {' or '.join(PUBLISHED_NAMES)}.",
        "Network",
        path=True,
        words=PUBLISHED_NAMES,
    )
    epoch: int | None = option(None, "Which epoch's of a genotypes.jsonl; auto is the last.", "Network", least=0)
    channels: int | None = option(None, "Image channels.", "Network", least=1, most=WIDEST)
    classes: int | None = option(None, "Classes, background included.", "Network", least=2, most=256)
    width: int = option(64, "Channels at full resolution; the paper's is 68.", "Network", least=1, most=WIDEST)
    seed: int = option(0, "Of the new weights.", "Network", least=0, most=LAST_SEED)
    output: str | None = option(None, "The file to write: .keras for the model, .json for the genotype alone.", "Network", path=True)

    def check(self) -> None:
        """Raises ConfigError where something is missing."""
        needed = ("genotype", "output") if str(self.output).endswith(".json") else ("genotype", "channels", "classes", "output")
        absent = [f"--{name}" for name in needed if getattr(self, name) in (None, "")]
        if absent:
            raise missing(absent)
        if not self.output.endswith((".keras", ".json")):
            raise ConfigError(f"--output={self.output}: let the name end in .keras or .json.")
