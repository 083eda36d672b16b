"""The command; `scnas_keras.verify` describes it. Defines nothing: spawned workers don't see what is defined here."""

from scnas_keras import verify
from scnas_keras.options import run

if __name__ == "__main__":
    run(verify.VerifyConfig, verify.main, verify.__doc__)
