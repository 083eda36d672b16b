"""scnas package --model=RUN --output=MODEL.zip

Puts a trained network into one file with a model card, to share it. It holds weights, how scans are prepared, and the architecture. Paths,
names of cases and of patients stay out (`--cases` puts in the table of validation scans). `scnas predict --model=MODEL.zip` takes it.
"""

import pathlib
import shlex

from scnas_keras.package.config import PackageConfig


def package(config: PackageConfig) -> pathlib.Path:
    """See `scnas_keras.package.runner.run_packaging`, which this calls."""
    from scnas_keras.package.runner import run_packaging

    return run_packaging(config)


def main(config: PackageConfig) -> str:
    path = package(config)
    print(path)
    return shlex.join(["scnas", "predict", f"--model={path}", "--image=SCAN.nii.gz", "--output=SEGMENTATION.nii.gz"])
