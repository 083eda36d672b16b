"""The command; `scnas_keras.completion` describes it. Defines nothing: spawned workers don't see what is defined here."""

from scnas_keras import completion
from scnas_keras.options import run

if __name__ == "__main__":
    run(completion.CompletionConfig, completion.main, completion.__doc__)
