"""scnas predict --model=RUN --image=SCAN.nii.gz --output=SEGMENTATION.nii.gz

Segments scans with a trained network, on the voxel grid of each scan. RUN is a folder left by `scnas select` or `scnas retrain` (it holds
model.keras and model.json). --image is a scan: a file (.nii.gz, .nii, .nrrd, .mha, .mhd, .png, .tif, ...), a folder of DICOM slices, or one
file per channel with commas between them. It may also be a folder of scans: all are segmented, and --output is a folder. Where the model
has several channels, CASE_0000 and CASE_0001 in it are one scan.

--output's ending decides the format; in a folder it is that of the scan (pictures: .png, DICOM: .nii.gz).
"""

import pathlib
import shlex

from scnas_keras.files import file_in
from scnas_keras.inference.names import MODEL
from scnas_keras.predict.config import PredictConfig


def predict(config: PredictConfig) -> list[pathlib.Path]:
    """See `scnas_keras.predict.runner.run_prediction`, which this calls."""
    from scnas_keras.predict.runner import run_prediction

    return run_prediction(config)


def main(config: PredictConfig) -> str | None:
    for path in predict(config):
        print(path)
    model = pathlib.Path(config.model)
    if not file_in(model, MODEL).is_file():  # several
        return None
    name = model.name if model.is_dir() else model.stem
    return shlex.join(["scnas", "export", f"--model={model}", f"--output={model.with_name(name + '_served')}"])
