"""The command; `scnas_keras.export` describes it. Defines nothing: spawned workers don't see what is defined here."""

from scnas_keras import export
from scnas_keras.options import run

if __name__ == "__main__":
    run(export.ExportConfig, export.main, export.__doc__)
