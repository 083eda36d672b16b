"""A tiny dataset on disk, for tests to break in one place."""

import json
from pathlib import Path

import nibabel as nib
import numpy as np

REAL_DATA = Path(__file__).parents[1].parent / "shared" / "data"
AFFINE = np.diag([1.0, 1.0, 1.5, 1.0])


def write_task(folder: Path, num_cases: int = 3, shape=(12, 10, 8), channels=("T1", "T2"), spacing=(1.0, 1.0, 1.5)):
    """Writes a task of random images with a margin of air, each holding a box of class 1 and one of class 2."""
    random = np.random.default_rng(7)
    for index in range(num_cases):
        image = np.zeros((*shape, len(channels)), np.float32)
        image[1:-1, 1:-1, 1:-1] = random.uniform(10, 100, (*(size - 2 for size in shape), len(channels)))
        label = np.zeros(shape, np.uint8)
        label[3:6, 3:6, 2:5] = 1
        label[6:9, 3:6, 2:5] = 2
        save(folder / "imagesTr" / f"case_{index}.nii.gz", image, np.diag([*spacing, 1.0]))
        save(folder / "labelsTr" / f"case_{index}.nii.gz", label, np.diag([*spacing, 1.0]))
    write_json(folder, [f"case_{index}" for index in range(num_cases)], channels)
    return folder


def write_json(folder: Path, names, channels=("T1", "T2"), **changes):
    content = {
        "name": "Small",
        "modality": {str(index): name for index, name in enumerate(channels)},
        "labels": {"0": "background", "1": "left", "2": "right"},
        "training": [{"image": f"./imagesTr/{name}.nii.gz", "label": f"./labelsTr/{name}.nii.gz"} for name in names],
    }
    (folder / "dataset.json").write_text(json.dumps(content | changes))


def save(path: Path, array: np.ndarray, affine: np.ndarray = AFFINE):
    path.parent.mkdir(parents=True, exist_ok=True)
    image = nib.Nifti1Image(array, affine)
    image.header.set_xyzt_units("mm")
    nib.save(image, path)


def change(path: Path, edit):
    """Rewrites a volume after `edit` has changed its array in place."""
    image = nib.load(path)
    array = np.asarray(image.dataobj).copy()
    edit(array)
    save(path, array, image.affine)
