"""The command; `scnas_keras.package` describes it. Defines nothing: spawned workers don't see what is defined here."""

from scnas_keras import package
from scnas_keras.options import run

if __name__ == "__main__":
    run(package.PackageConfig, package.main, package.__doc__)
