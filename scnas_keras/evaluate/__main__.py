"""The command; `scnas_keras.evaluate` describes it. Defines nothing: spawned workers don't see what is defined here."""

from scnas_keras import evaluate
from scnas_keras.options import run

if __name__ == "__main__":
    run(evaluate.EvaluateConfig, evaluate.main, evaluate.__doc__)
