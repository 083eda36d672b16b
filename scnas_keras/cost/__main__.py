"""The command; `scnas_keras.cost` describes it. Defines nothing: spawned workers don't see what is defined here."""

from scnas_keras import cost
from scnas_keras.options import run

if __name__ == "__main__":
    run(cost.CostConfig, cost.main, cost.__doc__)
