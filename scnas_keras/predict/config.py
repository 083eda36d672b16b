"""The options of `scnas_keras.predict`."""

import dataclasses

from scnas_keras.options import option


@dataclasses.dataclass(frozen=True)
class PredictConfig:
    """Settings of a prediction."""

    model: str | None = option(
        None,
        "A trained run's folder, its model.keras, or a package of it (.zip). Of several, with commas between them, or of a network's "
        "folder of crossval, the mean of their probabilities decides.",
        "Prediction",
    )
    image: str | None = option(
        None,
        "A scan, a folder of DICOM slices, one file per channel with commas between them, or a folder of scans.",
        "Prediction",
    )
    output: str | None = option(None, "The segmentation's file, or the folder for those of a folder.", "Prediction")
    mirror: bool = option(
        False, "Average over the flips that the network was trained with: up to eight times the work, often slightly better.", "Prediction"
    )
    overlay: bool = option(False, "Also draw each segmentation over its scan, as a PNG beside it.", "Prediction")
    save_probabilities: bool = option(
        False,
        "Also write the classes' probabilities on each scan's grid, NAME_probabilities.nii.gz, classes as its channels.",
        "Prediction",
    )
    scratch_dir: str | None = option(
        None, "Folder on a disk with room for scans and probabilities meanwhile. Default: where the segmentations go.", "Prediction"
    )
