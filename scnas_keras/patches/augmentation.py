"""Augmentation as data: a list of transforms that a plan keeps as JSON."""

import dataclasses
from typing import Any, Literal

import msgspec
import numpy as np

from scnas_keras.documents import Misfit
from scnas_keras.patches import intensity, spatial

AnyTransform = (
    spatial.Elastic
    | spatial.Rotation
    | spatial.Scaling
    | intensity.GaussianNoise
    | intensity.GaussianBlur
    | intensity.Brightness
    | intensity.Contrast
    | intensity.LowResolution
    | intensity.Gamma
    | intensity.Cutout
    | spatial.Mirror
)
_ORDER = (spatial.SpatialTransform, intensity.IntensityTransform, spatial.Mirror)


@dataclasses.dataclass(frozen=True)
class Augmentation:
    """Random changes of training patches.

    Attributes:
        transforms: in the order they're applied: those of space (one resampling for all), of intensities, mirrors.
        image_order: spline order of the resampling, 1 or 3. Labels are always resampled by linear weights.
        in_plane: slices along plan axis 0 keep their places; space changes along axes 1 and 2 only ("dummy 2D").

    Raises:
        Misfit: another order, or a spatial transform twice.
    """

    transforms: tuple[AnyTransform, ...] = ()
    image_order: Literal[1, 3] = 1
    in_plane: bool = False

    def __post_init__(self):
        stages = [next(stage for stage, kind in enumerate(_ORDER) if isinstance(transform, kind)) for transform in self.transforms]
        unique = [type(transform) for transform, stage in zip(self.transforms, stages) if stage != 1]
        if stages != sorted(stages) or len(set(unique)) != len(unique):
            names = [msgspec.to_builtins(transform)["name"] for transform in self.transforms]
            order = "first those of space (elastic, rotation, scaling), last mirror; but for intensities each once"
            raise Misfit("transforms", names, order)

    @property
    def mirror_axes(self) -> tuple[int, ...]:
        """The patch's axes that may be flipped."""
        return next((transform.axes for transform in self.transforms if isinstance(transform, spatial.Mirror)), ())

    @property
    def mirror_place(self) -> str:
        """Where `mirror_axes` stand in the document; the mirror is the last transform."""
        return f"transforms[{len(self.transforms) - 1}].axes"

    def draw_spatial(self, random: np.random.Generator) -> spatial.SpatialDraw | None:
        """Parameters of one patch's resampling; None for a patch that is read as it is."""
        return spatial.draw_spatial(self.transforms, random)

    def draw_mirrors(self, random: np.random.Generator) -> tuple[int, ...]:
        """The plan axes along which one patch is flipped."""
        return sum((item.draw(random) for item in self.transforms if isinstance(item, spatial.Mirror)), ())

    def apply_intensity(self, image: np.ndarray, random: np.random.Generator) -> np.ndarray:
        """The image, float32 [*, channels], after all transforms of intensities; may work in place."""
        for transform in self.transforms:
            if isinstance(transform, intensity.IntensityTransform):
                image = transform.apply(image, random)
        return image

    def to_dict(self) -> dict[str, Any]:
        """For plans.json."""
        return {
            "image_order": self.image_order,
            "in_plane": self.in_plane,
            "transforms": [msgspec.to_builtins(item) for item in self.transforms],
        }
