"""The command; `scnas_keras.retrain` describes it. Defines nothing: spawned workers don't see what is defined here."""

from scnas_keras import retrain
from scnas_keras.options import run

if __name__ == "__main__":
    run(retrain.RetrainConfig, retrain.main, retrain.__doc__)
