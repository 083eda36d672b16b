"""python -m scnas_keras.predict --model=RUN --image=SCAN.nii.gz --output=SEGMENTATION.nii.gz

Segments scans with a trained network, on the voxel grid of each scan. RUN is a folder left by scnas_keras.retrain (it
holds model.keras and model.json). --image may be a folder: all its NIfTI files are segmented, and --output is a folder.
"""

import dataclasses
import pathlib

from absl import logging

from scnas_keras.console import load_tensorflow
from scnas_keras.errors import ConfigError
from scnas_keras.options import option, run


@dataclasses.dataclass(frozen=True)
class PredictConfig:
    """Settings of a prediction."""

    model: str | None = option(None, "A trained run's folder, or its model.keras.", "Prediction")
    image: str | None = option(None, "A scan (.nii, .nii.gz) or a folder of scans.", "Prediction")
    output: str | None = option(None, "The segmentation's file, or the folder for those of a folder.", "Prediction")
    mirror: bool = option(
        False, "Average over all flips of each tile: eight times the work, often slightly better; not for classes that are "
        "left and right.", "Prediction",
    )  # fmt: skip
    overlay: bool = option(False, "Also draw each segmentation over its scan, as a PNG beside it.", "Prediction")


def predict(config: PredictConfig) -> list[pathlib.Path]:
    """Segments the scans; returns the files written.

    Raises:
        ConfigError: a flag is missing or the images can't be found.
        DataError: a scan or the model can't be read.
    """
    pairs = _pairs(config)
    load_tensorflow()
    from scnas_keras.formats.volumes import read_image, write_label
    from scnas_keras.inference.model_folder import SegmentationModel
    from scnas_keras.reporting.overlay import draw_overlay

    model = SegmentationModel.load(config.model)
    for number, (image, output) in enumerate(pairs, start=1):
        volume = read_image(image)
        segmentation = model.segment(volume, (0, 1, 2) if config.mirror else ())
        write_label(output, segmentation, volume.geometry)
        logging.info("%d/%d  %s -> %s", number, len(pairs), image, output)
        if config.overlay:
            picture = output.with_name(output.name.removesuffix(".gz").removesuffix(".nii") + ".png")
            names = tuple(model.plan.labels.values())
            draw_overlay(volume.array[..., 0], None, segmentation, picture, names, volume.spacing, image.name)
    return [output for _, output in pairs]


def _pairs(config: PredictConfig) -> list[tuple[pathlib.Path, pathlib.Path]]:
    """Scans and where their segmentations go."""
    for name in ("model", "image", "output"):
        if not getattr(config, name):
            raise ConfigError(f"--{name} is missing; see --help.")
    image, output = pathlib.Path(config.image).expanduser(), pathlib.Path(config.output).expanduser()
    if image.is_file():
        if output.is_dir():
            output = output / image.name
        if not output.name.endswith((".nii", ".nii.gz")):
            raise ConfigError(f"--output={output}: let the name end in .nii.gz, or name an existing folder.")
        pairs = [(image, output)]
    else:
        found = [path for path in sorted(image.glob("*.nii*")) if not path.name.startswith(".")] if image.is_dir() else []
        if not found:
            raise ConfigError(f"--image={image}: neither a file nor a folder with .nii or .nii.gz files.")
        pairs = [(path, output / path.name) for path in found]
    same = [str(target) for source, target in pairs if target.exists() and target.samefile(source)]
    if same:
        raise ConfigError(f"--output would overwrite the scan {same[0]}; name another place. Nothing was changed.")
    return pairs


def main(config: PredictConfig) -> None:
    for path in predict(config):
        print(path)


if __name__ == "__main__":
    run(PredictConfig, main, __doc__)
