"""The augmentations that can be asked for by name."""

from collections.abc import Sequence

from scnas_keras.errors import ConfigError
from scnas_keras.patches.augmentation import Augmentation
from scnas_keras.patches.intensity import Brightness, Contrast, Cutout, Gamma, GaussianBlur, GaussianNoise, LowResolution
from scnas_keras.patches.names import AUGMENTATIONS, CUTOUT, NONE, V2
from scnas_keras.patches.spatial import Elastic, Mirror, Rotation, Scaling

ANISOTROPIC = 3  # a patch whose longest axis is longer than that many times its slices is augmented within them
ELONGATED = 1.5  # a slice with an aspect beyond that isn't turned all around

CUTOUT_LENGTH = 16
"""Voxels a side of the hole."""


def preset(name: str, patch_size: Sequence[int], mirror_axes: Sequence[int]) -> Augmentation:
    """One of the known augmentations, as far as it depends on the patch.

    Args:
        name: "none"; "2018", of nnU-Net's first public code (April 2019), nearest to the 2018 paper; or "v2", of
            nnU-Net v2. Both are taken over in numbers and order, but for the changes to the input of a cascade. "cutout":
            a hole in every patch and no other change, as DARTS and Auto-LW-MISN (Zhang et al. 2022, section 3.1) train.
        patch_size: voxels along the plan axes; two for slices.
        mirror_axes: plan axes that may be flipped.

    Raises:
        ConfigError: an unknown name.
    """
    if name not in AUGMENTATIONS:
        raise ConfigError(f"--augmentation={name}: expected one of {', '.join(AUGMENTATIONS)}.")
    if name == NONE:
        return Augmentation()
    if name == CUTOUT:
        return Augmentation((Cutout(1.0, CUTOUT_LENGTH),))
    in_plane = len(patch_size) == 2 or max(patch_size) / patch_size[0] > ANISOTROPIC
    mirrors = (Mirror(0.5, tuple(mirror_axes)),) if mirror_axes else ()
    transforms = _v2(patch_size, in_plane) if name == V2 else _2018(patch_size, in_plane)
    return Augmentation((*transforms, *mirrors), image_order=1 if name == V2 else 3, in_plane=in_plane)


def _v2(patch_size: Sequence[int], in_plane: bool) -> tuple:
    factor, gamma = (0.75, 1.25), (0.7, 1.5)
    return (
        Rotation(0.2, _degrees(patch_size, in_plane, 30.0)),
        Scaling(0.2, (0.7, 1.4)),
        GaussianNoise(0.1, (0.0, 0.1)),
        GaussianBlur(0.2, (0.5, 1.0), channel_probability=0.5),
        Brightness(0.15, factor),
        Contrast(0.15, factor),
        LowResolution(0.25, (0.5, 1.0), channel_probability=0.5, in_plane=in_plane),
        Gamma(0.1, gamma, inverted=True),
        Gamma(0.3, gamma),
    )


def _2018(patch_size: Sequence[int], in_plane: bool) -> tuple:
    return (
        Elastic(0.2, alpha=(0.0, 200.0) if in_plane else (0.0, 900.0), sigma=(9.0, 13.0)),
        Rotation(0.2, _degrees(patch_size, in_plane, 15.0)),
        Scaling(0.2, (0.85, 1.25), halved=True),
        Gamma(0.3, (0.7, 1.5)),
    )


def _degrees(patch_size: Sequence[int], in_plane: bool, about_each: float) -> tuple[float, float, float]:
    if not in_plane:
        return (about_each,) * 3
    elongated = len(patch_size) == 2 and max(patch_size) / min(patch_size) > ELONGATED
    return (15.0 if elongated else 180.0, 0.0, 0.0)
