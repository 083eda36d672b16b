"""scnas completion --shell=bash

Prints what lets bash or zsh complete commands, flags and their values. For bash:

    scnas completion --shell=bash > ~/.local/share/bash-completion/completions/scnas

For zsh, into a folder of $fpath, whose compinit runs afterwards:

    scnas completion --shell=zsh > ~/.zfunc/_scnas
"""

from scnas_keras.completion.config import CompletionConfig


def completion(config: CompletionConfig) -> str:
    """See `scnas_keras.completion.runner.run_completion`, which this calls."""
    from scnas_keras.completion.runner import run_completion

    return run_completion(config)


def main(config: CompletionConfig) -> None:
    print(completion(config))
