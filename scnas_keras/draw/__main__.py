"""The command; `scnas_keras.draw` describes it. Defines nothing: spawned workers don't see what is defined here."""

from scnas_keras import draw
from scnas_keras.options import run

if __name__ == "__main__":
    run(draw.DrawConfig, draw.main, draw.__doc__)
