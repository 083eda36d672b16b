"""The command; `scnas_keras.plan` describes it. Defines nothing: spawned workers don't see what is defined here."""

from scnas_keras import plan
from scnas_keras.options import run

if __name__ == "__main__":
    run(plan.PlanConfig, plan.main, plan.__doc__)
