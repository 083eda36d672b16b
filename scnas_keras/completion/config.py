"""The options of `scnas_keras.completion`."""

import dataclasses

from scnas_keras.options import option

BASH, ZSH = SHELLS = ("bash", "zsh")


@dataclasses.dataclass(frozen=True)
class CompletionConfig:
    """For which shell."""

    shell: str = option(BASH, "Which shell.", "Completion", choices=SHELLS)
