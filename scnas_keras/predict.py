"""python -m scnas_keras.predict --model=RUN --image=SCAN.nii.gz --output=SEGMENTATION.nii.gz

Segments scans with a trained network, on the voxel grid of each scan. RUN is a folder left by scnas_keras.retrain (it
holds model.keras and model.json). --image is a scan: a file (.nii.gz, .nii, .nrrd, .mha, .mhd, .png, .tif, ...), a
folder of DICOM slices, or one file per channel with commas between them. It may also be a folder of scans: all are
segmented, and --output is a folder. Where the model has several channels, CASE_0000 and CASE_0001 in it are one scan.

--output's ending decides the format; in a folder it is that of the scan (pictures: .png, DICOM: .nii.gz).
"""

import dataclasses
import pathlib
from typing import Any

from absl import logging

from scnas_keras.console import load_tensorflow
from scnas_keras.errors import ConfigError, DataError, UserError
from scnas_keras.inference.inputs import Scan, check_targets, collect_scans, find_images, read_scan
from scnas_keras.options import option, run


@dataclasses.dataclass(frozen=True)
class PredictConfig:
    """Settings of a prediction."""

    model: str | None = option(None, "A trained run's folder, or its model.keras.", "Prediction")
    image: str | None = option(
        None, "A scan, a folder of DICOM slices, one file per channel with commas between them, or a folder of scans.",
        "Prediction",
    )  # fmt: skip
    output: str | None = option(None, "The segmentation's file, or the folder for those of a folder.", "Prediction")
    mirror: bool = option(
        False, "Average over the flips that the network was trained with: up to eight times the work, often slightly better.", "Prediction"
    )
    overlay: bool = option(False, "Also draw each segmentation over its scan, as a PNG beside it.", "Prediction")
    skip_existing: bool = option(False, "Leave out scans whose segmentation is already there.", "Prediction")


def predict(config: PredictConfig) -> list[pathlib.Path]:
    """Segments the scans; returns the files written.

    A scan that can't be segmented doesn't keep the others from it.

    Raises:
        ConfigError: a flag is missing, the images can't be found, or an output can't be written under its name.
        DataError: the model can't be read, or, after all others are done, some scans can't be segmented.
    """
    for name in ("model", "image", "output"):
        if not getattr(config, name):
            raise ConfigError(f"--{name} is missing; see --help.")
    find_images(config.image)  # a misspelt name is told before TensorFlow is loaded
    load_tensorflow()
    from scnas_keras.inference.model_folder import SegmentationModel

    model = SegmentationModel.load(config.model)
    if config.mirror and not model.mirror_axes:
        logging.warning("--mirror changes nothing: %s was trained without flipped patches.", config.model)
    scans = collect_scans(config.image, config.output, len(model.plan.channels))
    check_targets(scans, config.overlay)
    written, failures = [], {}
    for number, scan in enumerate(scans, start=1):
        source = scan.files[0] if len(scan.files) == 1 else scan.name
        if config.skip_existing and scan.output.exists():
            logging.info("%d/%d  %s: %s is there already", number, len(scans), source, scan.output)
            continue
        try:
            _segment(scan, model, config)
        except UserError as error:
            if len(scans) == 1:
                raise
            failures[scan.name] = str(error)
            logging.error("%d/%d  %s: %s", number, len(scans), source, error)
        else:
            written.append(scan.output)
            logging.info("%d/%d  %s -> %s", number, len(scans), source, scan.output)
    if failures:
        listed = "".join(f"\n  {name}: {error}" for name, error in failures.items())
        raise DataError(f"{len(failures)} of {len(scans)} scans could not be segmented; {len(written)} were written to "
                        f"{config.output}. Mend these and run the same command with --skip_existing:{listed}")
    return written


def _segment(scan: Scan, model: Any, config: PredictConfig) -> None:
    from scnas_keras.formats.volumes import write_label
    from scnas_keras.reporting.overlay import draw_overlay

    volume = read_scan(scan, len(model.plan.channels))
    segmentation = model.segment(volume, config.mirror)
    write_label(scan.output, segmentation, volume.geometry)
    if config.overlay:
        names = tuple(model.plan.labels.values())
        draw_overlay(volume.array[..., 0], None, segmentation, scan.overlay, names, volume.spacing, scan.files[0].name)


def main(config: PredictConfig) -> None:
    for path in predict(config):
        print(path)


if __name__ == "__main__":
    run(PredictConfig, main, __doc__)
