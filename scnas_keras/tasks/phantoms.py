"""Synthetic scans with a task that intensity alone can't solve, for demonstrations and tests without patient data.

A scan is a "body" ellipsoid in air. In it lies one lesion: a *core* wrapped in a *shell*, both deformed at random. What
makes them visible in the two channels, relative to normal tissue, also occurs in decoys that are background:

| structure          | T1     | T2     |
|--------------------|--------|--------|
| core               | bright | normal |
| shell              | bright | bright |
| decoy without shell| bright | dark   |
| decoy of shell kind| normal | bright |

Bias field, noise and each case's own intensity scale blur the rest.
"""

import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path

import nibabel as nib
import numpy as np
import scipy

from scnas_keras.errors import ConfigError, DataError
from scnas_keras.files import write_text
from scnas_keras.formats.geometry import CANONICAL
from scnas_keras.formats.nifti import write_nifti

PHANTOM_VERSION = 1
LABELS = {0: "background", 1: "core", 2: "shell"}
_ORIENTATIONS = ("RAS", "LPS", "SRA")
_NORMAL, _BRIGHT, _DARK = 1.0, 1.45, 0.8
_DECOYS = ((_BRIGHT, _DARK), (_BRIGHT, _DARK), (_NORMAL, _BRIGHT), (_NORMAL, _BRIGHT))
_SHELL_THICKNESS = 0.05  # of the scan's size
_NOISE = 0.12
_SIZE_JITTER = 4


@dataclasses.dataclass(frozen=True)
class Phantom:
    """One synthetic scan: `image` float32 [x, y, z, 2] and `label` uint8 [x, y, z], 1 mm voxels."""

    image: np.ndarray
    label: np.ndarray


def write_phantoms(folder: str | Path, num_cases: int = 24, size: int = 48, seed: int = 0) -> Path:
    """Writes a task of synthetic scans in the MSD layout: dataset.json, imagesTr, labelsTr.

    The files are a pure function of the arguments. A folder that is already complete with the same arguments stays as
    it is; phantoms made with other arguments are replaced.

    Args:
        folder: the task's folder.
        num_cases: number of scans.
        size: voxels along each axis, give or take 4; 1 mm each.
        seed: of everything random.

    Returns:
        The folder.

    Raises:
        ConfigError: no case, or a size under 24, where a lesion has no room.
        DataError: the folder holds a dataset that isn't made of phantoms.
    """
    if num_cases < 1 or size < 24:
        raise ConfigError(f"Phantoms need at least 1 case of size 24, got {num_cases} of size {size}.")
    folder = Path(folder)
    names = [f"phantom_{index:03d}" for index in range(num_cases)]
    content = _dataset(names, {"version": PHANTOM_VERSION, "num_cases": num_cases, "size": size, "seed": seed})
    if _is_complete(folder, content):
        return folder
    _clear(folder)
    for index, name in enumerate(names):
        phantom = make_phantom(index, size, seed)
        orientation = _ORIENTATIONS[index % len(_ORIENTATIONS)]
        write_nifti(folder / "imagesTr" / f"{name}.nii.gz", _nifti(phantom.image, orientation))
        write_nifti(folder / "labelsTr" / f"{name}.nii.gz", _nifti(phantom.label, orientation))
    write_text(folder / "dataset.json", json.dumps(content, indent=2) + "\n")
    return folder


def make_phantom(index: int, size: int = 48, seed: int = 0) -> Phantom:
    """Scan number `index` of a seed, in canonical axes."""
    random = np.random.default_rng([seed, index])
    shape = tuple(int(side) for side in size + random.integers(-_SIZE_JITTER, _SIZE_JITTER + 1, 3))
    half = np.array(shape) / 2
    body = _distance(shape, half, half * random.uniform(0.86, 0.96, 3), random, wobble=0.05) < 1
    t1, t2 = np.full(shape, _NORMAL), np.full(shape, _NORMAL)
    label = np.zeros(shape, np.uint8)
    taken = []  # centres of all structures, which keep their distance
    for decoy in (None, *_DECOYS):
        centre = _place(half, size * 0.28, taken, random)
        taken.append(centre)
        radius = size * random.uniform(0.13, 0.16)
        distance = _distance(shape, centre, radius * random.uniform(0.85, 1.15, 3), random, wobble=0.15)
        inner, outer = distance < 1, distance < 1 + _SHELL_THICKNESS * size / radius
        if decoy is None:
            label[outer], label[inner] = 2, 1
            t1[outer], t2[outer], t2[inner] = _BRIGHT, _BRIGHT, _NORMAL
        else:
            free = inner & (label == 0)
            t1[free], t2[free] = decoy
    label[~body] = 0
    image = np.stack([_acquire(channel, body, random) for channel in (t1, t2)], axis=-1)
    return Phantom(image, label)


def _distance(shape: Sequence[int], centre: np.ndarray, radii: np.ndarray, random: np.random.Generator, wobble: float) -> np.ndarray:
    """Distance from `centre` in units of an ellipsoid's `radii`, deformed smoothly: the blob is where it's under 1."""
    grid = np.stack(np.meshgrid(*map(np.arange, shape), indexing="ij"), axis=-1) + 0.5
    return np.linalg.norm((grid - centre) / radii, axis=-1) * (1 + wobble * _smooth(shape, 4.0, random))


def _smooth(shape: Sequence[int], sigma: float, random: np.random.Generator) -> np.ndarray:
    """A smooth random field with mean 0 and standard deviation 1; `sigma` in voxels."""
    field = scipy.ndimage.gaussian_filter(random.standard_normal(shape), sigma)
    return (field - field.mean()) / field.std()


def _place(half: np.ndarray, reach: float, taken: list[np.ndarray], random: np.random.Generator) -> np.ndarray:
    """A centre within `reach` of the middle: of 50 random ones the one farthest from those taken."""
    offsets = random.uniform(-reach, reach, (50, 3))
    candidates = half + offsets[np.linalg.norm(offsets, axis=1) <= reach * 1.2]
    if not taken:
        return candidates[0]
    gaps = np.linalg.norm(candidates[:, None] - np.array(taken)[None], axis=-1).min(axis=1)
    return candidates[gaps.argmax()]


def _acquire(tissue: np.ndarray, body: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """What the scanner makes of it: texture, bias field, noise and an arbitrary scale; 0 in air."""
    texture = 0.04 * _smooth(tissue.shape, 1.5, random)
    bias = np.exp(0.15 * _smooth(tissue.shape, tissue.shape[0] / 4, random))
    noise = _NOISE * random.standard_normal(tissue.shape)
    values = random.uniform(250, 600) * np.maximum((tissue + texture) * bias + noise, 0.01)
    return np.where(body, values, 0).astype(np.float32)


def _nifti(array: np.ndarray, orientation: str) -> nib.Nifti1Image:
    """Stores a canonical array along the axes that `orientation` names, 1 mm voxels, origin in the middle."""
    target = nib.orientations.axcodes2ornt(orientation)
    transform = nib.orientations.ornt_transform(CANONICAL, target)
    affine = np.eye(4)
    affine[:3, 3] = -np.array(array.shape[:3]) / 2
    affine = affine @ nib.orientations.inv_ornt_aff(transform, array.shape[:3])
    image = nib.Nifti1Image(np.ascontiguousarray(nib.apply_orientation(array, transform)), affine)
    image.header.set_xyzt_units("mm")
    return image


def _dataset(names: Sequence[str], parameters: dict) -> dict:
    return {
        "name": "Phantom",
        "description": "Synthetic scans: a core in a shell, and decoys",
        "tensorImageSize": "4D",
        "modality": {"0": "T1", "1": "T2"},
        "labels": {str(value): name for value, name in LABELS.items()},
        "phantom": parameters,
        "numTraining": len(names),
        "numTest": 0,
        "test": [],
        "training": [{"image": f"./imagesTr/{name}.nii.gz", "label": f"./labelsTr/{name}.nii.gz"} for name in names],
    }


def _is_complete(folder: Path, content: dict) -> bool:
    """Whether `folder` holds just these phantoms. Refuses a folder that holds something else."""
    file = folder / "dataset.json"
    if not file.is_file():
        return False
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
    except ValueError:
        found = {}
    if "phantom" not in found:
        raise DataError(f"{file}: belongs to a dataset that isn't made of phantoms, and isn't overwritten. Choose another folder.")
    return found == content and all((folder / entry[kind]).is_file() for entry in content["training"] for kind in ("image", "label"))


def _clear(folder: Path) -> None:
    (folder / "dataset.json").unlink(missing_ok=True)
    for part in ("imagesTr", "labelsTr"):
        for file in (folder / part).glob("phantom_*.nii.gz"):
            file.unlink()
