"""The command; `scnas_keras.predict` describes it. Defines nothing: spawned workers don't see what is defined here."""

from scnas_keras import predict
from scnas_keras.options import run

if __name__ == "__main__":
    run(predict.PredictConfig, predict.main, predict.__doc__)
